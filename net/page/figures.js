// Figures of answers in units that fit.
export function duration(ms) {
  if (ms < 1) return "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round(ms % 60000 / 1000)} s`;
}

const kMeasurable = 10;   // ms

// Of the tokens after the first, which takes the time to first token. Null if they came too soon to tell.
export function tokensPerSecond({ tokens, ttft, total }) {
  const rate = (tokens - 1) * 1000 / (total - ttft);
  return tokens > 1 && total - ttft >= kMeasurable ? (rate < 10 ? rate.toFixed(1) : String(Math.round(rate))) : null;
}

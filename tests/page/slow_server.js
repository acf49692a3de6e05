// Before the page's own scripts: makes the server's answers to chats slow or busy, as window.slow says, which a test may
// change: `busy`: how many are refused first; `first`: ms before the first byte; `piece`: ms before each token;
// `text`: what is answered instead, in words. `gone` and `locked`: no answer to anything, and none of an API without a key.
// `times` and `bodies` are those of the chats.
(() => {
  window.slow = { gone: false, locked: false, busy: 0, first: 0, piece: 0, text: "", times: [], bodies: [] };
  const real = window.fetch;
  const sleep = (ms, signal) => new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
  const event = (data) => `data: ${JSON.stringify(data)}\n\n`;
  window.fetch = async (url, options = {}) => {
    if (window.slow.gone) throw new TypeError("gone");
    if (window.slow.locked && String(url).includes("/v1/")) return new Response(JSON.stringify({ error: { message: "a key" } }), { status: 401 });
    if (!String(url).includes("v1/chat/completions")) return real(url, options);
    window.slow.times.push(performance.now());
    window.slow.bodies.push(JSON.parse(options.body));
    const { signal } = options;
    if (window.slow.busy > 0) {
      --window.slow.busy;
      return new Response(JSON.stringify({ error: { message: "busy", code: "busy" } }), { status: 429 });
    }
    await sleep(window.slow.first, signal);
    if (window.slow.text === "") return real(url, options);
    const words = window.slow.text.match(/\s*\S+/g), encoder = new TextEncoder();
    return new Response(new ReadableStream({
      async start(controller) {
        try {
          for (const content of words) {
            await sleep(window.slow.piece, signal);
            controller.enqueue(encoder.encode(event({ choices: [{ delta: { content } }] })));
          }
          controller.enqueue(encoder.encode(event({ choices: [{ delta: {}, finish_reason: "stop" }] })));
          controller.enqueue(encoder.encode(event({ choices: [], usage: { completion_tokens: words.length } }) + "data: [DONE]\n\n"));
          controller.close();
        } catch (error) {
          controller.error(error);
        }
      },
    }));
  };
})();

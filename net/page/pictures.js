// Pictures as they are sent: JPEGs no larger than a model looks at, from files, the camera and samples.
const kLongestSide = 1024;   // pixels; the model sees no more
const kSmallSide = 512;      // of what the history keeps
const kQuality = 0.85;

export const samples = [
  { file: "0008.jpg", words: "sampleRing" },
  { file: "0007.jpg", words: "sampleStars" },
  { file: "0002.jpg", words: "sampleNumber" },
];

// JPEG has no transparency: what would show through is white, as in the engine, where the canvas alone
// would make it black.
function toJpeg(source, side) {
  const width = source.videoWidth ?? source.naturalWidth, height = source.videoHeight ?? source.naturalHeight;
  if (!width) return null;   // it shows nothing yet
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", kQuality));
}

export const frameOf = (video) => toJpeg(video, kLongestSide);

async function resized(blob, side) {
  const image = new Image(), url = URL.createObjectURL(blob);
  try {
    image.src = url;
    await image.decode();
    return await toJpeg(image, side);
  } finally {
    URL.revokeObjectURL(url);
  }
}

// Throws if the browser cannot show the file.
export const fromFile = (file) => resized(file, kLongestSide);
export const smaller = (blob) => resized(blob, kSmallSide);

export async function fromSample(file) {
  const response = await fetch(new URL("static/" + file, document.baseURI));
  return fromFile(await response.blob());
}

// Addresses of the pictures that a place of the page shows. A picture that stays keeps its own, which may be loading.
export class Urls {
  #known = new Map();

  of(pictures) {
    const before = this.#known;
    this.#known = new Map(pictures.map((picture) => [picture, before.get(picture) ?? URL.createObjectURL(picture)]));
    for (const [picture, url] of before) if (!this.#known.has(picture)) URL.revokeObjectURL(url);
    return pictures.map((picture) => this.#known.get(picture));
  }
}

export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

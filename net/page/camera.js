// The camera: which there are, starting and stopping one, and why it cannot be used.
import { byId } from "./words.js";

const kWidth = 1280;   // pixels that are asked for
const kReasons = {
  NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing",
  OverconstrainedError: "missing", NotReadableError: "taken", AbortError: "taken",
};
export const video = byId("camera");

// `reason`: "insecure", "denied", "missing", "taken" or "failed".
export class CameraError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

export const runs = () => video.srcObject !== null;

// `id` of a camera, or empty: one that looks away from its user, if there is a choice. `onLost` is called when
// it ends by itself.
export async function startCamera(id, onLost) {
  // Browsers hide it from pages that came over plain http.
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("insecure", "");
  stopCamera();
  const which = id ? { deviceId: { exact: id } } : { facingMode: "environment" };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, width: kWidth } });
    stream.getVideoTracks()[0].onended = onLost;
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    stopCamera();
    throw new CameraError(kReasons[error.name] ?? "failed", error.message);
  }
}

export function stopCamera() {
  for (const track of video.srcObject?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
  video.srcObject = null;
}

export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput" && device.deviceId !== "");
}

export const cameraInUse = () => video.srcObject?.getVideoTracks()[0]?.getSettings().deviceId ?? "";

// The server's API key: asked for when the server wants one, sent as a header or, in a WebSocket's
// handshake, where a script can set no header, as a subprotocol.
import { byId, keep, recall } from "./words.js";

let key = inSession() ?? recall("key") ?? "";

function inSession() {
  try {
    return sessionStorage.getItem("key");
  } catch {
    return null;
  }
}

export const hasKey = () => key !== "";

export function headers() {
  return key === "" ? {} : { Authorization: "Bearer " + key };
}

// encodeURIComponent leaves parentheses, which a subprotocol's name may not have.
export function subprotocols() {
  const encoded = encodeURIComponent(key).replace(/[()]/g, (c) => "%" + c.charCodeAt(0).toString(16));
  return key === "" ? ["fastvlm"] : ["fastvlm", "fastvlm.key." + encoded];
}

function setKey(text, stays) {
  key = text;
  try {
    sessionStorage.setItem("key", key);
  } catch { /* it is known until the page is left */ }
  keep("key", stays ? key : "");
}

// `why` says what was wrong with the last one; `onGiven` is called when there is another.
export function askForKey(why, onGiven) {
  const dialog = byId("key-dialog");
  byId("key-wrong").textContent = why;
  byId("key-form").onsubmit = (event) => {
    event.preventDefault();
    setKey(byId("key").value.trim(), byId("key-stays").checked);
    dialog.close();
    onGiven();
  };
  byId("key-cancel").onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
  byId("key").select();
}

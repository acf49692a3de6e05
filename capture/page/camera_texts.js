// The page's words in its languages.
export const texts = {
  en: {
    title: "fastvlm camera", picture: "Live picture", caption: "What is seen", history: "Earlier captions",
    ttft: "First token", total: "Answer", rate: "Pictures/s",
    prompt: "What to ask", ask: "Ask", presets: "Suggestions", interval: "A caption every", seconds: "s",
    snapshot: "Save picture", stream: "Video stream",
    cameraLive: "Camera", cameraLost: "No camera",
    serverReady: "Server", serverConnecting: "Server: connecting …", serverLost: "Server lost, trying again …",
    serverUnknown: "Server: unknown", pageLost: "No connection to the camera, trying again …",
  },
  zh: {
    title: "fastvlm 摄像头", picture: "实时画面", caption: "画面描述", history: "历史描述",
    ttft: "首个 token", total: "总用时", rate: "每秒画面",
    prompt: "提问", ask: "发送", presets: "常用提问", interval: "描述间隔", seconds: "秒",
    snapshot: "保存画面", stream: "视频流",
    cameraLive: "摄像头", cameraLost: "没有摄像头",
    serverReady: "服务器", serverConnecting: "服务器：正在连接…", serverLost: "服务器已断开，正在重试…",
    serverUnknown: "服务器：未知", pageLost: "与摄像头的连接已断开，正在重试…",
  },
};

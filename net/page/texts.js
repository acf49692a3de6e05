// The page's words in its languages.
export const texts = {
  en: {
    picture: "Picture", empty: "Start the camera, or drop, paste or choose a picture.",
    live: "Live camera", stop: "Stop camera", shot: "Single shot", file: "Choose a picture",
    prompt: "What to ask", ask: "Ask", presets: "Suggestions", answer: "Answer", history: "Earlier answers", clear: "Clear",
    ttft: "First token", total: "Total", rate: "Frames/s",
    connecting: "Connecting …", ready: "Ready", lost: "Connection lost, trying again …",
    noCamera: "The camera cannot be used",
    insecure: "Browsers give a camera only to pages that came over https or from this machine itself.",
    unreadable: "This file is no picture that can be shown.",
  },
  zh: {
    picture: "图片", empty: "打开摄像头，或拖入、粘贴、选择一张图片。",
    live: "实时摄像头", stop: "停止摄像头", shot: "拍一张", file: "选择图片",
    prompt: "提问", ask: "发送", presets: "常用提问", answer: "回答", history: "历史回答", clear: "清空",
    ttft: "首个 token", total: "总用时", rate: "每秒帧数",
    connecting: "正在连接…", ready: "就绪", lost: "连接已断开，正在重试…",
    noCamera: "无法使用摄像头",
    insecure: "浏览器只允许通过 https 或在本机打开的页面使用摄像头。",
    unreadable: "无法显示这个文件。",
  },
};

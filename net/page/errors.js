// What a server's refusals mean, in the page's language. Their messages are English and say exactly what is wrong; their
// codes are few, and told here in other languages: where the message says more, it follows.
import { language } from "./words.js";

const kExactly = (words) => (message) => `${words}（${message}）`;
const errors = {
  zh: {
    bad_image: kExactly("无法读取图片"), bad_request: kExactly("服务器不接受这个请求"), body_too_long: () => "图片太大，服务器不接受。",
    busy: () => "服务器正忙，请稍后重试。", cancelled: () => "已取消。", context_length_exceeded: () => "问题、对话和图片加起来太长，请缩短问题、减少图片或开始新对话。",
    failed: kExactly("模型运行出错"), internal_error: () => "服务器内部出错，日志中有说明。", invalid_api_key: () => "服务器不接受这个密钥。",
    rate_limited: () => "这个密钥提问太频繁，请稍后重试。", request_timeout: () => "请求传输得太慢，服务器不再等待。", stopping: () => "服务器正在停止。",
    too_many_wrong_keys: () => "错误的密钥太多，请稍后重试。", unavailable: () => "服务器暂时无法回答。",
    wrong_host: () => "服务器只接受本机的访问。", wrong_origin: () => "服务器不接受这个网站的页面。",
  },
};
const kOthers = { zh: kExactly("服务器报告了错误") };

export function told({ message, code }) {
  if (language === "en") return message;
  return (errors[language][code] ?? kOthers[language])(message);
}

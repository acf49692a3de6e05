// What tools/deploy gives operators fits the server: dashboards and alerts name metrics that there
// are, examples of clients ask what the server answers, units and the container's recipe are whole.
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "net/protocol/base64.hpp"
#include "tests/net/service/server_fixture.hpp"
#include "tests/support/shell.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

const fs::path kDeploy = fs::path(FVLM_SOURCE) / "tools/deploy";

bool has(const std::string& program) {
  return shell("command -v " + program).code == 0;
}

std::vector<std::string> expressions_of_dashboard() {
  std::vector<std::string> found;
  const json dashboard = json::parse(read_file(kDeploy / "grafana.json"));
  for (const json& panel : dashboard["panels"]) {
    for (const json& target : panel["targets"]) found.push_back(target["expr"]);
  }
  return found;
}

class Deploy : public ServerTest {
 protected:
  void start_as_documented() {
    start({.chat = {.model = "fastvlm", .max_new_tokens = 4096},
           .access = {.key = "key"},
           .version = "1"});
  }
  std::string get(const std::string& path) const { return http_get(port(), path, kKey); }

  const std::string kKey = "Authorization: Bearer key\r\n";
};

TEST_F(Deploy, DashboardAndAlertsNameMetricsThatThereAre) {
  start_as_documented();
  get("/livez");
  const std::string metrics = get("/metrics");
  std::set<std::string> names = {"up"};
  const std::regex type("# TYPE ([a-z_]+) ([a-z]+)");
  for (std::sregex_iterator match(metrics.begin(), metrics.end(), type), end; match != end;
       ++match) {
    const std::string name = (*match)[1];
    if ((*match)[2] != "histogram") names.insert(name);
    if ((*match)[2] == "histogram") {
      for (const char* part : {"_bucket", "_sum", "_count"}) names.insert(name + part);
    }
  }
  std::vector<std::string> expressions = expressions_of_dashboard();
  EXPECT_GT(expressions.size(), 20U);
  expressions.push_back(read_file(kDeploy / "alerts.yaml"));
  expressions.push_back(read_file(kDeploy / "kubernetes.yaml"));
  expressions.push_back(read_file(kDeploy / "README.md"));
  const std::regex used("\\b(fastvlm|process)(_[a-z]+)+\\b");
  std::set<std::string> all;
  for (const std::string& text : expressions) {
    for (std::sregex_iterator match(text.begin(), text.end(), used), end; match != end; ++match) {
      const std::string name = match->str();
      if (contains(text, name + ".")) continue;  // a file's
      EXPECT_TRUE(names.contains(name) || names.contains(name + "_count")) << name;
      all.insert(name);
    }
  }
  EXPECT_GT(all.size(), 30U);
}

TEST_F(Deploy, PromtoolTakesMetricsAlertsAndDashboard) {
  if (!has("promtool")) GTEST_SKIP() << "promtool is missing (Debian's package prometheus)";
  start_as_documented();
  const TemporaryFolder folder;
  write_file(folder / "metrics", std::string(body_of(get("/metrics"))));
  const Ended lint = shell("promtool check metrics < " + (folder / "metrics").string());
  EXPECT_EQ(lint.code, 0) << lint.output;
  const Ended rules = shell("promtool check rules " + (kDeploy / "alerts.yaml").string());
  EXPECT_EQ(rules.code, 0) << rules.output;
  const Ended cases = shell("promtool test rules " FVLM_SOURCE "/tests/tools/alerts_test.yaml");
  EXPECT_EQ(cases.code, 0) << cases.output;
  // Its expressions as rules, with a time in place of Grafana's.
  json group = {{"name", "dashboard"}, {"rules", json::array()}};
  for (const std::string& expression : expressions_of_dashboard()) {
    group["rules"].push_back(
        {{"record", "panel:" + std::to_string(group["rules"].size())},
         {"expr", std::regex_replace(expression, std::regex("\\$__rate_interval"), "5m")}});
  }
  write_file(folder / "dashboard.yaml", json{{"groups", {group}}}.dump());
  const Ended panels = shell("promtool check rules " + (folder / "dashboard.yaml").string());
  EXPECT_EQ(panels.code, 0) << panels.output;
}

// As these programs send them, by their sources: Frigate (frigate/genai/plugins/openai.py, with
// OpenAI's client), LLM Vision for Home Assistant (providers.py), Open WebUI (routers/openai.py and
// tasks.py). In place of "JPEG" there is a picture.
TEST_F(Deploy, RequestsOfTheExamplesClientsAreAnswered) {
  start_as_documented();
  const std::string models = get("/v1/models");
  EXPECT_EQ(json::parse(body_of(models))["data"][0]["id"], "fastvlm");
  const std::string picture = net::encode_base64(jpeg());
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(FVLM_SOURCE) / "tests/data/clients")) {
    SCOPED_TRACE(entry.path().filename());
    std::string body = read_file(entry.path());
    const bool stream = json::parse(body).value("stream", false);
    const std::string mark = "base64,JPEG";
    for (std::size_t at = body.find(mark); at != body.npos; at = body.find(mark, at)) {
      body.replace(at + mark.size() - 4, 4, picture);
    }
    const std::string answer =
        http(port(),
             "POST /v1/chat/completions HTTP/1.1\r\nHost: fastvlm.example:5000\r\n"
             "Content-Type: application/json\r\n" +
                 kKey + "Accept-Encoding: gzip, deflate\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_EQ(status_of(answer), 200) << answer;
    if (stream) {
      EXPECT_TRUE(contains(answer, "\"usage\":{")) << answer;
      EXPECT_TRUE(answer.ends_with("data: [DONE]\n\n")) << answer;
    } else {
      const json message = json::parse(body_of(answer), nullptr, false)["choices"][0]["message"];
      EXPECT_TRUE(message["content"].is_string()) << answer;
    }
    ++count;
  }
  EXPECT_EQ(count, 6);
}

// Their servers' flags are said in the examples.
TEST(DeployFiles, ExamplesOfClientsSayHowTheServerIsStarted) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(kDeploy / "clients")) {
    const std::string text = read_file(entry.path());
    EXPECT_TRUE(contains(text, "--model-name fastvlm")) << entry.path();
    EXPECT_TRUE(contains(text, ":5000/v1")) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, 3);
}

TEST(DeployFiles, SystemdUnderstandsTheUnitWithAndWithoutAGpu) {
  if (!has("systemd-analyze")) GTEST_SKIP() << "systemd-analyze is missing";
  const TemporaryFolder folder;
  fs::create_directory(folder / "fastvlm.service.d");
  const auto runnable = [](std::string text) {
    for (const char* program : {"/usr/local/bin/fastvlm", "/usr/bin/nvidia-modprobe"}) {
      text = std::regex_replace(text, std::regex(program), "/bin/true");
    }
    return text;
  };
  write_file(folder / "fastvlm.service", runnable(read_file(kDeploy / "fastvlm.service")));
  write_file(folder / "fastvlm.service.d" / "gpu.conf", runnable(read_file(kDeploy / "gpu.conf")));
  const Ended ended =
      shell("systemd-analyze verify --man=no " + (folder / "fastvlm.service").string());
  EXPECT_FALSE(contains(ended.output, "fastvlm.service")) << ended.output;
  EXPECT_FALSE(contains(ended.output, "gpu.conf")) << ended.output;
  write_file(folder / "fastvlm.service.d" / "gpu.conf", "[Service]\nNonsense=yes\n");
  EXPECT_TRUE(contains(
      shell("systemd-analyze verify --man=no " + (folder / "fastvlm.service").string()).output,
      "gpu.conf"))
      << "what it does not understand, it says";
}

class Containerfile : public testing::Test {
 protected:
  const std::string text_ = read_file(kDeploy / "Containerfile");
};

TEST_F(Containerfile, InstallsWhatTheScriptOfPackagesSaysAndNothingElse) {
  EXPECT_TRUE(contains(text_, "\nRUN tools/install_packages.sh\n"));
  std::istringstream lines(text_);
  for (std::string line; std::getline(lines, line);) {
    if (!contains(line, "apt-get install")) continue;
    EXPECT_TRUE(contains(line, " /package/fastvlm_*.deb \\")) << line;
  }
  for (const char* argument : {"BUILD_IMAGE", "RUN_IMAGE", "CUDA"}) {
    EXPECT_TRUE(contains(text_, std::string("\nARG ") + argument + "=")) << argument;
    EXPECT_TRUE(contains(text_, std::string("--build-arg ") + argument + "=")) << argument;
    EXPECT_TRUE(contains(text_, std::string("${") + argument + "}")) << argument;
  }
}

// Configured from nothing but what it copies, each source of the program is there.
TEST_F(Containerfile, CopiesAllThatIsBuilt) {
  const TemporaryFolder folder;
  const std::regex copy("\nCOPY ((?:[^ -][^ \n]* )+)([^ \n]+)");
  std::string commands = "set -e; cd " FVLM_SOURCE;
  for (std::sregex_iterator match(text_.begin(), text_.end(), copy), end; match != end; ++match) {
    const fs::path to = folder / (*match)[2].str();
    std::istringstream sources((*match)[1].str());
    for (std::string source; sources >> source;) {  // of a folder its content
      const bool is_folder = fs::is_directory(fs::path(FVLM_SOURCE) / source);
      commands += "; mkdir -p " + to.string() + "; cp -r " + source + (is_folder ? "/. " : " ") +
                  to.string();
    }
  }
  const std::regex configure("cmake --preset [^\n]*");
  std::smatch flags;
  ASSERT_TRUE(std::regex_search(text_, flags, configure));
  commands += "; cd " + folder.path().string() + "; CUDA=OFF; " +
              std::regex_replace(flags.str(), std::regex(" *\\\\$"), "") +
              " > log 2>&1 || { cat log; exit 1; }";
  commands += "; ninja -C build/release -n fastvlm";
  const Ended ended = shell(commands);
  EXPECT_EQ(ended.code, 0) << ended.output;
}

}  // namespace
}  // namespace fvlm

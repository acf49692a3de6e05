// Each message between a camera and its viewers: its bytes, and there and back.
#include "net/protocol/viewer_messages.hpp"

#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "tests/net/protocol/expect_spelling.hpp"

namespace fvlm::protocol {
namespace {

TEST(ViewerMessages, Configure) {
  expect_spelling(ViewerConfigure{.binary = true, .prompt = "?", .interval = 0.5},
                  R"({"type":"configure","binary":true,"prompt":"?","interval":0.5})",
                  read_viewer_message);
  expect_spelling(ViewerConfigure{}, R"({"type":"configure"})", read_viewer_message);
}

TEST(ViewerMessages, Frame) {
  expect_spelling(Frame{"foo"}, R"({"type":"frame","data":"Zm9v"})", read_camera_message);
}

TEST(ViewerMessages, State) {
  expect_spelling(
      State{.camera = "test-pattern",
            .camera_cause = "opening",
            .camera_live = true,
            .height = 480,
            .interval = 1,
            .prompt = "What?",
            .server = "lost",
            .server_cause = "no_answer",
            .server_place = "pc:5000",
            .server_text = "the server does not answer",
            .source = "v4l2",
            .stream = true,
            .width = 640},
      R"({"camera":"test-pattern","camera_cause":"opening","camera_live":true,"height":480,"interval":1.0,)"
      R"("prompt":"What?","server":"lost","server_cause":"no_answer",)"
      R"("server_place":"pc:5000","server_text":"the server does not answer",)"
      R"("source":"v4l2","stream":true,"type":"state",)"
      R"("width":640})",
      read_camera_message);
}

TEST(ViewerMessages, History) {
  expect_spelling(History{{R"({"content":"A tree.","type":"description"})", "{}"}},
                  R"({"descriptions":[{"content":"A tree.","type":"description"},{}],)"
                  R"("type":"history"})",
                  read_camera_message);
  EXPECT_EQ(write(History{{R"({"type": "description", "content": "A tree."})", "nonsense"}}),
            R"({"descriptions":[{"content":"A tree.","type":"description"}],"type":"history"})");
}

TEST(ViewerMessages, OddOnesHarmNobody) {
  for (const char* text : {"{}", "nonsense", "[]", R"({"type":"cancel"})", R"({"type":1})"}) {
    EXPECT_TRUE(std::holds_alternative<Unreadable>(read_viewer_message(text))) << text;
  }
  const ViewerMessage odd =
      read_viewer_message(R"({"type":"configure","binary":1,"prompt":2,"interval":"3","x":4})");
  EXPECT_TRUE(std::get<ViewerConfigure>(odd) == ViewerConfigure{});
}

}  // namespace
}  // namespace fvlm::protocol

#include "runtime/grammar/regex.hpp"

#include <cstddef>
#include <span>

#include "kernels/support/make_error.hpp"
#include "runtime/grammar/regex_syntax.hpp"

namespace fvlm {
namespace {

using Kind = RegexSyntax::Kind;
using State = CharacterNfa::State;

class RegexCompiler {
 public:
  explicit RegexCompiler(RegexMatch match) : match_(match) {}

  // Alternatives of the whole expression, in each of which anchors may stand at both ends.
  void add_top(const RegexSyntax& syntax) {
    if (syntax.kind == Kind::kChoice) {
      for (const RegexSyntax& child : syntax.children) add_top(child);
      return;
    }
    std::span<const RegexSyntax> parts(&syntax, 1);
    if (syntax.kind == Kind::kSequence) parts = syntax.children;
    bool begins = match_ == RegexMatch::kWhole;
    bool ends = begins;
    for (; !parts.empty() && parts.front().kind == Kind::kBegin; parts = parts.subspan(1)) {
      begins = true;
    }
    for (; !parts.empty() && parts.back().kind == Kind::kEnd;
         parts = parts.first(parts.size() - 1)) {
      ends = true;
    }
    State state = begins ? CharacterNfa::kStart : anything();
    for (const RegexSyntax& part : parts) state = add(part, state);
    nfa_.add_empty(state, ends ? CharacterNfa::kEnd : nfa_.everything());
  }

  CharacterDfa finish() const { return determinise(nfa_); }

 private:
  // A state reached by any characters from the start.
  State anything() {
    const State state = nfa_.add_state();
    nfa_.add_empty(CharacterNfa::kStart, state);
    nfa_.add_edge(state, CharacterSet::all(), state);
    return state;
  }

  // Adds states for `syntax` after `from`; returns where it ends.
  State add(const RegexSyntax& syntax, State from) {
    switch (syntax.kind) {
      case Kind::kSet: {
        const State to = nfa_.add_state();
        nfa_.add_edge(from, syntax.set, to);
        return to;
      }
      case Kind::kSequence:
        for (const RegexSyntax& child : syntax.children) from = add(child, from);
        return from;
      case Kind::kChoice: {
        const State to = nfa_.add_state();
        for (const RegexSyntax& child : syntax.children) nfa_.add_empty(add(child, from), to);
        return to;
      }
      case Kind::kRepeat:
        return add_repeat(syntax, from);
      case Kind::kBegin:
      case Kind::kEnd:
        break;
    }
    throw make_error(
        "at byte {} of the expression: '{}' is supported only at the {} of the expression or of an "
        "alternative",
        syntax.position, syntax.kind == Kind::kBegin ? '^' : '$',
        syntax.kind == Kind::kBegin ? "beginning" : "end");
  }

  State add_repeat(const RegexSyntax& repeat, State from) {
    const RegexSyntax& what = repeat.children.front();
    for (std::size_t i = 0; i < repeat.min; ++i) from = add_copy(what, from);
    const State to = nfa_.add_state();
    if (!repeat.max) {
      const State loop = nfa_.add_state();
      nfa_.add_empty(from, loop);
      nfa_.add_empty(add(what, loop), loop);
      from = loop;
    } else {
      for (std::size_t i = repeat.min; i < *repeat.max; ++i) {
        nfa_.add_empty(from, to);
        from = add_copy(what, from);
      }
    }
    nfa_.add_empty(from, to);
    return to;
  }

  // Of nothing, too, copies take a state, so that the number of states bounds the work.
  State add_copy(const RegexSyntax& what, State from) {
    const State to = nfa_.add_state();
    nfa_.add_empty(add(what, from), to);
    return to;
  }

  RegexMatch match_;
  CharacterNfa nfa_;
};

}  // namespace

CharacterDfa compile_regex(std::string_view expression, RegexMatch match) {
  RegexCompiler compiler(match);
  compiler.add_top(parse_regex(expression));
  return compiler.finish();
}

}  // namespace fvlm

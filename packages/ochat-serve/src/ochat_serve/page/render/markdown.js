// Markdown as answers use it: GitHub's, with formulas, and with hardly any HTML.
//
// Tags are shown as they were written, but for a few that only set text and carry no attribute:
// an answer about HTML keeps its examples, and nothing of it becomes part of the page.

import { Marked } from "../vendor/marked.js";
import { blockFormula, displayed, escaped, inlineFormula } from "./formula_syntax.js";

const PLAIN_TAG = /^<\/?(?:b|br|del|em|i|ins|kbd|mark|s|strong|sub|sup|u)\s*\/?>/i;
const LINK_DEFINITION = /^ {0,3}\[(?!\^)[^\]\n]+\]:\s*<?(?:https?:\/\/|mailto:)/i;
// Deeper than people write; each level costs the parser a pass over all it holds.
const DEEPEST = 16;
// The outline of the page goes on with h3: h1 is the conversation, h2 a message.
const OUTERMOST_HEADING = 3;

// A line end is one, as in verses and addresses: models write no others within a paragraph.
const marked = new Marked({ gfm: true, breaks: true });
const { Lexer, Parser, Tokenizer } = marked;
let depth = 0;

/** A tokenizer of marked that gives up when it has been entered too often. */
function bounded(name) {
  return function tokenize(...given) {
    if (depth >= DEEPEST) return undefined;
    depth += 1;
    try {
      return Tokenizer.prototype[name].apply(this, given);
    } finally {
      depth -= 1;
    }
  };
}

/** **Bold** beside punctuation too, as in "**Ende.**Next" without a space: Chinese has none there. */
const plainStrong = {
  name: "plainStrong",
  level: "inline",
  start: (source) => source.match(/\*\*/)?.index,
  tokenizer(source) {
    const match = /^\*\*([^\s*](?:[^*\n]*[^\s*])?)\*\*(?!\*)/.exec(source);
    if (!match || match[1].includes("`")) return undefined; // stars in code are the parser's business
    return { type: "strong", raw: match[0], text: match[1], tokens: this.lexer.inlineTokens(match[1]) };
  },
};

marked.use({
  extensions: [blockFormula, inlineFormula, plainStrong],
  tokenizer: {
    list: bounded("list"),
    blockquote: bounded("blockquote"),
    html: () => undefined,
    // Notes such as "[^1]: as said above" would be taken for addresses, and vanish.
    def(source) {
      return LINK_DEFINITION.test(source) ? Tokenizer.prototype.def.call(this, source) : undefined;
    },
    tag(source) {
      const match = PLAIN_TAG.exec(source);
      return match ? { type: "html", raw: match[0], text: match[0], block: false } : undefined;
    },
  },
  renderer: {
    heading({ tokens, depth: level }) {
      const name = `h${Math.min(6, level + OUTERMOST_HEADING - 1)}`;
      return `<${name}>${this.parser.parseInline(tokens)}</${name}>`;
    },
    code({ text, lang }) {
      const language = /^[^\s{,]*/.exec(lang ?? "")[0];
      if (language === "math") return displayed(text);
      return `<pre data-language="${escaped(language)}">${escaped(text)}</pre>`;
    },
    checkbox: ({ checked }) => `<span data-task="${checked ? "done" : "open"}"></span>`,
    link({ href, tokens }) {
      return `<a href="${escaped(href)}">${this.parser.parseInline(tokens)}</a>`;
    },
    // Never loaded: where the image lies would learn who reads the answer, and when.
    image: ({ href, text }) => `<a data-image="yes" href="${escaped(href)}">${escaped(text)}</a>`,
  },
});

/**
 * The blocks of a text. `links` holds the definitions of reference links; those of the text are added.
 * @param {string} source
 * @param {Record<string, object>} links
 */
export function blocks(source, links) {
  depth = 0;
  const lexer = new Lexer(marked.defaults);
  lexer.tokens.links = links;
  return lexer.lex(source);
}

/** Markup of tokens; unsafe until it went through `sanitize`. @param {object[]} tokens */
export const markup = (tokens) => Parser.parse(tokens, marked.defaults);

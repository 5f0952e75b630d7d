/** Rules of this project that ESLint does not have. */

/** The width of code (.prettierrc.json). Prettier does not wrap comments. */
const WIDTH = 120

/** Text that cannot be broken: a URL or a path. */
const UNBREAKABLE = /\S{60,}/

/** @type {import('eslint').Rule.RuleModule} */
const commentWidth = {
  meta: {
    type: 'layout',
    schema: [],
    messages: { wide: `A comment is at most ${WIDTH} columns wide, like code; this line has {{width}}.` },
  },
  create({ sourceCode, report }) {
    return {
      Program() {
        for (const comment of sourceCode.getAllComments()) {
          for (let line = comment.loc.start.line; line <= comment.loc.end.line; line++) {
            const text = sourceCode.lines[line - 1] ?? ''
            if (text.length <= WIDTH || UNBREAKABLE.test(text)) continue
            report({ loc: { line, column: WIDTH }, messageId: 'wide', data: { width: String(text.length) } })
          }
        }
      },
    }
  },
}

export default { rules: { 'comment-width': commentWidth } }

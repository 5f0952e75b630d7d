/** Rules of this project that ESLint has none for. */

/** How wide a line of code may be (.prettierrc.json); prettier leaves comments alone. */
const WIDTH = 120

/** What a line may hold that cannot be broken: an address, a path. */
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

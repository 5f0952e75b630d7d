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

/**
 * A call of a generator function runs nothing of it: only `yield*`, a loop or `finish` does.
 *
 * @type {import('eslint').Rule.RuleModule}
 */
const runGenerators = {
  meta: {
    type: 'problem',
    schema: [],
    messages: { unrun: 'This generator is made and never run: use "yield*", or finish() of src/apply/steps.ts.' },
  },
  create({ sourceCode, report }) {
    const { program, esTreeNodeToTSNodeMap: nodes } = sourceCode.parserServices
    const checker = program.getTypeChecker()
    const isGenerator = (node) => checker.getTypeAtLocation(nodes.get(node)).symbol?.name === 'Generator'
    const isVoid = (node) => {
      const types = checker.getContextualType(nodes.get(node))?.getCallSignatures() ?? []
      return types.length > 0 && types.every((type) => checker.typeToString(type.getReturnType()) === 'void')
    }
    const check = (node) => {
      if (node.type !== 'AssignmentExpression' && isGenerator(node)) report({ node, messageId: 'unrun' })
    }
    return {
      ExpressionStatement: ({ expression }) => check(expression),
      AwaitExpression: ({ argument }) => check(argument),
      UnaryExpression: ({ operator, argument }) => void (operator === 'void' && check(argument)),
      ArrowFunctionExpression(node) {
        if (node.body.type !== 'BlockStatement' && isVoid(node)) check(node.body)
      },
    }
  },
}

export default { rules: { 'comment-width': commentWidth, 'run-generators': runGenerators } }

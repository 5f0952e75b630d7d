/** docs/commands.md: the help of every command, as the command itself prints it. */

import type { Command } from 'commander'
import { COMMANDS } from '../../src/cli/commands.ts'
import { buildProgram } from '../../src/cli/program.ts'

const HEAD = `# Commands

This page is generated from the code by \`npm run docs\`: it is what \`ltxd COMMAND --help\` prints.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done with warnings (\`--strict\`). \`ltxd mount -- CMD\`
exits with the code of CMD; see [operations](operations.md#exit-codes).
`

const HELP_WIDTH = 100

export async function commandsPage(): Promise<string> {
  const parts = [HEAD]
  for (const entry of COMMANDS) {
    const program = await buildProgram(entry)
    const command = program.commands.find((each) => each.name() === entry.name)
    if (command === undefined) throw new Error(`${entry.name} does not register itself`)
    for (const each of [command, ...command.commands]) parts.push(section(each, each === command ? '##' : '###'))
  }
  return parts.join('\n')
}

function section(command: Command, level: string): string {
  const names = [command, command.parent].map((each) => each?.name()).filter((name) => name !== undefined)
  const title = names.includes('ltxd') ? ['ltxd', command.name()] : ['ltxd', ...names.reverse()]
  return `${level} ${title.join(' ')}\n\n\`\`\`text\n${helpOf(command).trimEnd()}\n\`\`\`\n`
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => (text += part),
    getOutHelpWidth: () => HELP_WIDTH,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.replace(/[ \t]+$/gm, '')
}

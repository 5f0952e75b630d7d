import type { Command } from 'commander'

interface Options {
  readonly json?: true
  readonly data?: true
}

export function register(program: Command): void {
  const ltx = program
    .command('ltx')
    .summary('look into LTX files')
    .description('Look into LTX files. A broken one is reported with offset and field; the others are still shown.')
  ltx
    .command('list')
    .summary('one line for each file')
    .description('Show each file on a line. Reads header, page index and trailer only: `ltx verify` reads all of it.')
    .argument('<path...>', 'LTX files, or directories that are searched for them')
    .option('--json', 'as JSON')
    .action(async (paths: string[], options: Options) => {
      const { list } = await import('./ltx/list.ts')
      await list(paths, options.json === true)
    })
  ltx
    .command('dump')
    .summary('header, pages, page index and trailer')
    .description('Show header, pages, page index and trailer of each file.')
    .argument('<file...>', 'LTX files')
    .option('--data', "with every page's content, in hexadecimal")
    .option('--json', 'as JSON')
    .action(async (files: string[], options: Options) => {
      const { dump } = await import('./ltx/dump.ts')
      await dump(files, { json: options.json === true, data: options.data === true })
    })
  ltx
    .command('verify')
    .summary('decode files, check everything in them')
    .description('Decode each file whole and check everything in it. Exit code 1 if one is not valid.')
    .argument('<file...>', 'LTX files')
    .option('--json', 'as JSON')
    .action(async (files: string[], options: Options) => {
      const { verifyFiles } = await import('./ltx/verify.ts')
      await verifyFiles(files, options.json === true)
    })
}

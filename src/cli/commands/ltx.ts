import type { Command } from 'commander'
import type { ApplyOptions } from './ltx/apply.ts'
import type { CompactOptions } from './ltx/compact.ts'
import type { EncodeOptions } from './ltx/encode-db.ts'
import type { HexdumpOptions } from './ltx/hexdump.ts'

interface Options {
  readonly json?: true
  readonly data?: true
  readonly each?: true
}

export function register(program: Command): void {
  const ltx = program
    .command('ltx')
    .summary('look into LTX files, make them, merge them, apply them')
    .description(
      'Look into LTX files, make them of a database, merge them, apply them. No node is needed. What is wrong with a file is said ' +
        'with offset and field; exit code 1.',
    )
  const commands = [list, dump, verify, hexdump, checksum, encodeDb, compact, apply]
  for (const add of commands) add(ltx)
}

function list(ltx: Command): void {
  ltx
    .command('list')
    .summary('one line for each file')
    .description('Show each file on a line. Reads header, page index and trailer only: `ltx verify` reads all of it.')
    .argument('<path...>', 'LTX files, or directories that are searched for them')
    .option('--json', 'as JSON')
    .addHelpText('after', examples('ltxd ltx list /var/backups/app/ltx'))
    .action(async (paths: string[], options: Options) => {
      const { list } = await import('./ltx/list.ts')
      await list(paths, options.json === true)
    })
}

function dump(ltx: Command): void {
  ltx
    .command('dump')
    .summary('header, pages, page index and trailer')
    .description(
      'Show header, pages, page index and trailer of each file; of a broken one, all that stands before the break.',
    )
    .argument('<file...>', 'LTX files')
    .option('--data', "with every page's content, in hexadecimal")
    .option('--json', 'as JSON, one page a line')
    .addHelpText(
      'after',
      examples(
        'ltxd ltx dump 0000000000000005-0000000000000005.ltx',
        'ltxd ltx dump --json a.ltx | jq ".[0].pages[].pgno"',
      ),
    )
    .action(async (files: string[], options: Options) => {
      const { dump } = await import('./ltx/dump.ts')
      await dump(files, { json: options.json === true, data: options.data === true })
    })
}

function verify(ltx: Command): void {
  ltx
    .command('verify')
    .summary('check everything in files, and whether they continue each other')
    .description(
      'Decode each file whole and check everything in it; of several files, check also that each continues the one before it. ' +
        'Exit code 1 if anything is wrong; all files are looked at.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .option('--each', 'the files need not continue each other')
    .option('--json', 'as JSON')
    .addHelpText('after', examples('ltxd ltx verify *.ltx', 'ltxd ltx verify --each a/*.ltx b/*.ltx'))
    .action(async (files: string[], options: Options) => {
      const { verifyFiles } = await import('./ltx/verify.ts')
      await verifyFiles(files, { json: options.json === true, each: options.each === true })
    })
}

function hexdump(ltx: Command): void {
  ltx
    .command('hexdump')
    .summary('the bytes of a file, and what each of them means')
    .description(
      'Show the bytes of header, page headers, page index and trailer with their meaning, of a damaged file, too. Offsets are decimal, ' +
        'as in all messages. Checksums are shown and not checked: `ltx verify` does that.',
    )
    .argument('<file>', 'an LTX file')
    .option('--all', 'all pages and page index entries, not only the first 16')
    .option('--data', "with all bytes of the pages' data, compressed as they are, not only the first 16")
    .option('--json', 'as JSON, one structure a line')
    .addHelpText('after', examples('ltxd ltx hexdump a.ltx', 'ltxd ltx hexdump --all --data a.ltx | less'))
    .action(async (file: string, options: HexdumpOptions) => {
      const { hexdump } = await import('./ltx/hexdump.ts')
      await hexdump(file, options)
    })
}

function checksum(ltx: Command): void {
  ltx
    .command('checksum')
    .summary('the checksum of a database file')
    .description(
      "Print a database's checksum, as the post-apply checksum of its last LTX file has it. A database with transactions in a WAL, or with " +
        'a journal to roll back, is refused: not all of it is in the file.',
    )
    .argument('<db>', 'a SQLite database file')
    .option('--json', 'as JSON')
    .addHelpText('after', examples('ltxd ltx checksum app.db'))
    .action(async (path: string, options: Options) => {
      const { checksum } = await import('./ltx/checksum.ts')
      await checksum(path, options.json === true)
    })
}

function encodeDb(ltx: Command): void {
  ltx
    .command('encode-db')
    .summary('a snapshot of a database file')
    .description(
      'Write a database as one LTX file, a snapshot. The file appears when it is complete. A database with transactions in a WAL, or with ' +
        'a journal to roll back, is refused: not all of it is in the file.',
    )
    .argument('<db>', 'a SQLite database file')
    .requiredOption('-o, --output <file>', 'the LTX file to write')
    .option('--txid <hex>', 'the last transaction that it holds, up to 16 hexadecimal digits (default: 1)')
    .option('--force', 'replace the output if it exists')
    .option('--json', 'report as JSON')
    .addHelpText('after', examples('ltxd ltx encode-db app.db -o 0000000000000001-0000000000000001.ltx'))
    .action(async (path: string, options: EncodeOptions) => {
      const { encodeDb } = await import('./ltx/encode-db.ts')
      await encodeDb(path, options)
    })
}

function compact(ltx: Command): void {
  ltx
    .command('compact')
    .summary('merge files into one')
    .description(
      'Merge LTX files that continue each other into one that does what they do together. The output appears when all of them have been ' +
        'verified.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .requiredOption('-o, --output <file>', 'the LTX file to write')
    .option('--drop-checksums', 'without database checksums, which files without them need when others have them')
    .option('--force', 'replace the output if it exists')
    .option('--json', 'report as JSON')
    .addHelpText(
      'after',
      examples('ltxd ltx compact 000000000000000[1-9]-*.ltx -o 0000000000000001-0000000000000009.ltx'),
    )
    .action(async (files: string[], options: CompactOptions) => {
      const { compact } = await import('./ltx/compact.ts')
      await compact(files, options)
    })
}

function apply(ltx: Command): void {
  ltx
    .command('apply')
    .summary('apply files to a database file')
    .description(
      'Apply LTX files in order: to a database that is there, in one transaction under its locks, or to a new one, which begins with a ' +
        'snapshot. What each file says of the database before and after it is checked first; if anything is wrong, nothing is written.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .option('--db <file>', 'the database to change; begun if it does not exist')
    .option('-o, --output <file>', 'a new database, never an existing one')
    .option('--force', 'let a snapshot replace all that is in --db')
    .option('--json', 'report as JSON')
    .addHelpText(
      'after',
      examples('ltxd ltx apply -o copy.db *.ltx', 'ltxd ltx apply --db app.db 0000000000000007-0000000000000007.ltx'),
    )
    .action(async (files: string[], options: ApplyOptions) => {
      const { apply } = await import('./ltx/apply.ts')
      await apply(files, options)
    })
}

function examples(...lines: readonly string[]): string {
  return `\nExample${lines.length === 1 ? '' : 's'}:\n${lines.map((line) => `  ${line}\n`).join('')}`
}

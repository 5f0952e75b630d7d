import type { Command } from 'commander'
import { outputOption } from '../options/output-option.ts'
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
    .summary('inspect, create, merge and apply LTX files')
    .description(
      'Inspect LTX files, create them from a database, merge them, and apply them. No node is needed. An error in a ' +
        'file is reported with the field and its offset, and sets the exit code to 1.',
    )
  const commands = [list, dump, verify, hexdump, checksum, encodeDb, compact, apply]
  for (const add of commands) add(ltx)
}

function list(ltx: Command): void {
  ltx
    .command('list')
    .summary('show each file on one line')
    .description(
      'Show each file on one line. This reads only header, page index and trailer; `ltx verify` reads the whole file.',
    )
    .argument('<path...>', 'LTX files, or directories to search for them')
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
    .summary('show header, pages, page index and trailer')
    .description('Show header, pages, page index and trailer of each file. A damaged file is shown up to the damage.')
    .argument('<file...>', 'LTX files')
    .option('--data', 'include the content of each page, in hexadecimal')
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
    .summary('verify files, and that each continues the one before it')
    .description(
      'Decode each file and verify everything in it. With several files, also verify that each continues the one ' +
        'before it. All files are verified even if one fails; the exit code is then 1.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .option('--each', 'verify each file alone: the files need not continue each other')
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
    .summary('show the bytes of a file and their meaning')
    .description(
      'Show the bytes of header, page headers, page index and trailer with their meaning, even of a damaged file. ' +
        'Offsets are decimal, as in all messages. Checksums are shown but not verified; `ltx verify` verifies them.',
    )
    .argument('<file>', 'an LTX file')
    .option('--all', 'show all pages and page index entries, not only the first 16')
    .option('--data', "show all bytes of each page's data as stored, compressed, not only the first 16")
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
    .summary('print the checksum of a database file')
    .description(
      "Print a database's checksum, which equals the post-apply checksum of its last LTX file. A database with " +
        'transactions in a WAL or a journal to roll back is rejected, because the file is then not its whole state.',
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
    .summary('encode a database file as a snapshot')
    .description(
      'Encode a database file as one LTX file, a snapshot. The output appears once it is complete. A database with ' +
        'transactions in a WAL or a journal to roll back is rejected, because the file is then not its whole state.',
    )
    .argument('<db>', 'a SQLite database file')
    .addOption(outputOption('the LTX file to write').makeOptionMandatory())
    .option('--txid <hex>', 'the TXID of the snapshot, up to 16 hexadecimal digits (default: 1)')
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
      'Merge LTX files that continue each other into one file with the same effect. The output appears once all ' +
        'files have been verified.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .addOption(outputOption('the LTX file to write').makeOptionMandatory())
    .option('--drop-checksums', 'omit database checksums: required if some of the files have them and others do not')
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
      "Apply LTX files in order: to an existing database, in one transaction under SQLite's locks, or to a new one, " +
        'beginning with a snapshot. The checksums of the database before and after each file are verified first. ' +
        'If any is wrong, nothing is written.',
    )
    .argument('<file...>', 'LTX files, oldest first')
    .option('--db <file>', 'the database to change; created if it does not exist')
    .addOption(outputOption('a new database to write; must not exist'))
    .option('--force', 'let a snapshot replace the whole content of --db')
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

import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { CONFIG_FILE } from '../../config/find.ts'
import { CONFIG_TEMPLATE } from '../../config/template.ts'
import { errorCode, LtxdError } from '../../util/errors.ts'
import { PRIVATE } from '../../util/private-files.ts'
import { printLine } from '../output/output.ts'

export function register(program: Command): void {
  program
    .command('init')
    .summary('write a commented configuration file')
    .description('Write a configuration file that explains every key. An existing file is never overwritten.')
    .argument('[file]', 'the file to write', CONFIG_FILE)
    .action((file: string) => {
      writeNew(file)
      printLine(`wrote ${file}: edit it, check it with "ltxd config", run it with "ltxd mount"`)
    })
}

function writeNew(file: string): void {
  try {
    writeFileSync(file, CONFIG_TEMPLATE, { flag: 'wx', mode: PRIVATE.file })
  } catch (error) {
    if (errorCode(error) === 'EEXIST') {
      throw new LtxdError('FILE_EXISTS', `${file} already exists: remove it, or name another file`)
    }
    throw new LtxdError('FILE_NOT_WRITTEN', `cannot write ${file}: ${(error as Error).message}`, 1, { cause: error })
  }
}

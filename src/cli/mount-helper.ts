/** How mount.fuse3(8) calls the program that serves a mount it has made. */

import { descriptorOf } from '../fuse/mount/handed-over.ts'
import { NODE_FLAGS } from './options/node-options.ts'

/** Options of mount(8) that are ltxd's: those of `ltxd mount` that take a value, and `config`. */
const OWN = new Set([
  'config',
  ...NODE_FLAGS.filter(({ isSwitch }) => isSwitch !== true).map(({ option }) => option.slice(2)),
])

/**
 * `ltxd [SOURCE] /dev/fd/N [-o OPTIONS]` as a command line like any other. SOURCE is an absolute path: a configuration
 * file if it ends in .yml or .yaml, else the data directory. Of the OPTIONS those are taken that are ltxd's own, such
 * as `backup=URL`: the mount has the others already.
 */
export function fromMountHelper(args: readonly string[]): readonly string[] {
  const at = args.findIndex((arg) => descriptorOf(arg) !== undefined)
  const [source] = args
  const isCall = at === 0 || (at === 1 && source?.startsWith('/') === true)
  const rest = args.slice(at + 1)
  if (!isCall || !(rest.length === 0 || (rest.length === 2 && rest[0] === '-o'))) return args
  const named = at === 0 || source === undefined ? [] : [/\.ya?ml$/.test(source) ? '--config' : '--data', source]
  const own = (rest[1] ?? '')
    .split(',')
    .filter((option) => OWN.has(option.split('=', 1)[0] ?? '') && option.includes('='))
  return ['mount', args[at] ?? '', ...named, ...own.map((option) => `--${option}`)]
}

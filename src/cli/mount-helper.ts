/** The command line with which mount.fuse3(8) calls ltxd. mount.fuse3 has made the mount, and ltxd serves it. */

import { descriptorOf } from '../fuse/mount/handed-over.ts'
import { NODE_FLAGS } from './options/node-options.ts'

/** The mount(8) options that ltxd reads: the options of `ltxd mount` that take a value, and `config`. */
const OWN = new Set([
  'config',
  ...NODE_FLAGS.filter(({ isSwitch }) => isSwitch !== true).map(({ option }) => option.slice(2)),
])

/**
 * Turns `ltxd [SOURCE] /dev/fd/N [-o OPTIONS]` into an `ltxd mount` command line. SOURCE is an absolute path: a
 * configuration file if it ends in .yml or .yaml, else the data directory. From OPTIONS only ltxd's own are passed on,
 * such as `backup=URL`. mount.fuse3 has already applied the others to the mount.
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

import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const NOBODY = 65_534
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
/**
 * The paths of this clone and Node.js for the user's programs. The real ones may be in a home that it may not search.
 */
const SEEN = { clone: '/mnt/ltxd', node: '/mnt/node' }

/** The permissions that the machine gives to users other than root. */
export interface Permissions {
  /** The mode of /dev/fuse; 666 by default, as on most systems. */
  readonly deviceMode?: string
  /** The text of /etc/fuse.conf; empty by default. */
  readonly fuseConf?: string
  /** A directory of this clone to hide. */
  readonly without?: string
  /** Run the program as root instead of the user. */
  readonly as?: 'root'
}

/**
 * A user other than root: the owner of this clone, or nobody. It has a directory of its own. Its programs run in a
 * mount namespace of their own, in which the test chooses /dev/fuse and /etc/fuse.conf. Mounts that they leave behind
 * vanish with the namespace.
 */
export class User {
  readonly uid: number
  /** The user's directory for its home and temporary files. */
  readonly home: string
  /** The path of Node.js for the user's programs. */
  readonly node = SEEN.node

  constructor() {
    const owner = statSync(REPOSITORY).uid
    this.uid = owner === 0 ? NOBODY : owner
    this.home = mkdtempSync(path.join(tmpdir(), 'ltxd-user-'))
    chownSync(this.home, this.uid, this.uid)
  }

  /** The program and arguments with which root runs `argv` as this user, on a machine with these permissions. */
  command(
    argv: readonly string[],
    { deviceMode = '666', fuseConf = '', without, as }: Permissions = {},
  ): [string, string[]] {
    const machine = [
      'mount -t tmpfs none /mnt',
      `mknod /mnt/fuse c 10 229; chmod ${deviceMode} /mnt/fuse; mount --bind /mnt/fuse /dev/fuse`,
      'printf "%s\\n" "$0" > /mnt/fuse.conf; touch /etc/fuse.conf; mount --bind /mnt/fuse.conf /etc/fuse.conf',
      `mkdir ${SEEN.clone}; mount --bind '${REPOSITORY}' ${SEEN.clone}; cd ${SEEN.clone}`,
      ...(without === undefined ? [] : [`mount -t tmpfs none '${this.seen(path.join(REPOSITORY, without))}'`]),
      `touch ${SEEN.node}; mount --bind '${process.execPath}' ${SEEN.node}`,
      `export HOME='${this.home}' TMPDIR='${this.home}'`,
      as === 'root' ? 'exec "$@"' : `exec setpriv --reuid=${this.uid} --regid=${this.uid} --clear-groups "$@"`,
    ].join('; ')
    return ['unshare', ['-m', 'sh', '-euc', machine, fuseConf, ...argv]]
  }

  /** The path of a file of this clone for the user's programs. */
  seen(file: string): string {
    return path.join(SEEN.clone, path.relative(REPOSITORY, file))
  }

  /** Makes a directory that belongs to the user. */
  directory(name: string): string {
    const made = path.join(this.home, name)
    mkdirSync(made)
    chownSync(made, this.uid, this.uid)
    return made
  }

  remove(): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}

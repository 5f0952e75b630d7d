import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const NOBODY = 65_534
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
/** Where the user's programs see this clone and Node, wherever those are: it may not look into everybody's home. */
const SEEN = { clone: '/mnt/ltxd', node: '/mnt/node' }

/** What the machine permits to who is not root. */
export interface Permissions {
  /** Of /dev/fuse; 666 by default, as on most systems. */
  readonly deviceMode?: string
  /** The text of /etc/fuse.conf; empty by default. */
  readonly fuseConf?: string
  /** A directory of this clone that is not there. */
  readonly without?: string
  /** Who the program is run by in that machine, if not the user. */
  readonly as?: 'root'
}

/**
 * A user who is not root, with a directory of its own: whoever owns this clone, or nobody. Its programs see a machine
 * in which /dev/fuse and /etc/fuse.conf are what the test says, in a mount namespace of their own: what they leave
 * mounted goes with them.
 */
export class User {
  readonly uid: number
  /** The user's own: home and temporary files. */
  readonly home: string
  /** Node, as the user's programs see it. */
  readonly node = SEEN.node

  constructor() {
    const owner = statSync(REPOSITORY).uid
    this.uid = owner === 0 ? NOBODY : owner
    this.home = mkdtempSync(path.join(tmpdir(), 'ltxd-user-'))
    chownSync(this.home, this.uid, this.uid)
  }

  /** The program and arguments by which root runs `argv` as this user, in the machine that `permissions` describe. */
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

  /** A file of this clone, as the user's programs see it. */
  seen(file: string): string {
    return path.join(SEEN.clone, path.relative(REPOSITORY, file))
  }

  /** A new directory of the user's. */
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

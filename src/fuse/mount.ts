/** Mounting by the direct driver, as root: /dev/fuse is opened, and mount(8) given its descriptor. */

import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'
import { MAX_TRANSFER } from './kernel.ts'
import { mountAt } from './mountinfo.ts'

const SUBTYPE = 'ltxd'
const MOUNT_TYPE = `fuse.${SUBTYPE}`
const COMMAND_TIMEOUT_MS = 10_000
/** How long a mount may take to say that it is alive. */
const PROBE_TIMEOUT_MS = 3_000

export interface MountOptions {
  /** What mount(8) and df(1) show as the source. */
  readonly fsname?: string
  /** Other users than the one who mounts may use it, as far as the files' permissions let them. */
  readonly allowOther?: boolean
}

export type MountErrorCode =
  | 'FUSE_MISSING'
  | 'MOUNT_DENIED'
  | 'MOUNT_FAILED'
  | 'MOUNT_NOT_DIRECTORY'
  | 'MOUNT_NOT_EMPTY'
  | 'MOUNT_OCCUPIED'
  | 'MOUNT_IN_USE'
  | 'UNMOUNT_FAILED'

export class MountError extends LtxdError {
  declare readonly code: MountErrorCode

  constructor(code: MountErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, 1, options)
  }
}

/**
 * Mounts at `directory`, which is created if it does not exist. Returns the descriptor of the device, on which a
 * Session must serve from now on; closing it ends the mount's life. Throws MountError.
 */
export function mountDirect(directory: string, options: MountOptions = {}): number {
  const target = prepareMountPoint(directory)
  const device = openDevice()
  try {
    const result = spawnSync('mount', ['-i', '-t', MOUNT_TYPE, '-o', mountOptions(options), fsname(options), target], {
      stdio: ['ignore', 'ignore', 'pipe', device],
      timeout: COMMAND_TIMEOUT_MS,
      encoding: 'utf8',
    })
    if (result.status !== 0) throw mountFailure(target, result.error?.message ?? result.stderr)
  } catch (error) {
    fs.closeSync(device)
    throw error
  }
  return device
}

/**
 * Takes the mount at `directory` away. If it is in use, it is detached and its connection ended, so that whoever has
 * files open gets errors ('detached'). Either way the session that serves it, which must still be running, returns.
 */
export async function unmount(directory: string): Promise<'unmounted' | 'detached'> {
  const target = realPath(directory)
  const plain = await run('umount', ['-i', '-c', target])
  if (plain.status === 0) return 'unmounted'
  if (mountAt(target) === undefined) return 'unmounted'
  const lazy = await run('umount', ['-i', '-c', '-f', '-l', target])
  if (lazy.status === 0) return 'detached'
  throw new MountError('UNMOUNT_FAILED', `cannot unmount ${target}: ${lazy.stderr}; run: umount -f -l '${target}'`)
}

/**
 * If a daemon died and left its mount at `directory`, takes it away, and whatever dead ones lie below it; returns
 * whether there was one. Throws MountError when the mount there is alive.
 */
export async function clearStaleMount(directory: string): Promise<boolean> {
  let cleared = false
  for (;;) {
    const target = realPath(directory)
    if (mountAt(target)?.type !== MOUNT_TYPE) return cleared
    const probe = await run('stat', ['-f', '-c', '%T', target], PROBE_TIMEOUT_MS)
    if (probe.status === 0 || !isDisconnected(probe.stderr)) throw inUse(target)
    const { status, stderr } = await run('umount', ['-i', '-c', '-l', target])
    if (status !== 0 && mountAt(target) !== undefined) {
      throw new MountError(
        'UNMOUNT_FAILED',
        `a dead ltxd mount is in the way at ${target} and cannot be taken away: ${stderr}; as root, run: umount -l '${target}'`,
      )
    }
    cleared = true
  }
}

function prepareMountPoint(directory: string): string {
  const target = realPath(directory)
  const mounted = mountAt(target)
  if (mounted?.type === MOUNT_TYPE) throw inUse(target)
  if (mounted !== undefined) {
    throw new MountError(
      'MOUNT_OCCUPIED',
      `${target} is the mount point of ${mounted.source} (${mounted.type}); choose another directory, or unmount it first`,
    )
  }
  try {
    fs.mkdirSync(target, { recursive: true })
    if (fs.readdirSync(target).length > 0) {
      throw new MountError(
        'MOUNT_NOT_EMPTY',
        `${target} is not empty, and what is in it would be hidden; choose an empty directory or one that does not exist yet`,
      )
    }
  } catch (error) {
    if (error instanceof MountError) throw error
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
      throw new MountError('MOUNT_NOT_DIRECTORY', `${target} is not a directory; choose another mount point`)
    }
    throw new MountError('MOUNT_FAILED', `cannot prepare the mount point ${target}: ${errorMessage(error)}`, {
      cause: error,
    })
  }
  return target
}

function openDevice(): number {
  try {
    return fs.openSync('/dev/fuse', fs.constants.O_RDWR)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') {
      throw new MountError(
        'FUSE_MISSING',
        'there is no /dev/fuse; load the kernel module (modprobe fuse), or start the container with --device /dev/fuse --cap-add SYS_ADMIN',
        { cause: error },
      )
    }
    throw denied(errorMessage(error), error)
  }
}

function mountOptions(options: MountOptions): string {
  const list = [
    'fd=3',
    'rootmode=40000',
    `user_id=${process.geteuid?.() ?? 0}`,
    `group_id=${process.getegid?.() ?? 0}`,
    `max_read=${MAX_TRANSFER}`,
    'default_permissions', // always: without it, allow_other would open every file to everybody
    'nosuid',
    'nodev',
  ]
  if (options.allowOther === true) list.push('allow_other')
  return list.join(',')
}

function fsname(options: MountOptions): string {
  return options.fsname ?? 'ltxd'
}

function mountFailure(target: string, reason: string): MountError {
  const said = reason.trim()
  if (process.geteuid?.() !== 0 || /permission denied|must be superuser|operation not permitted/i.test(said)) {
    return denied(`mounting at ${target} was refused: ${said}`)
  }
  return new MountError('MOUNT_FAILED', `cannot mount at ${target}: ${said}`)
}

function denied(said: string, cause?: unknown): MountError {
  const advice = 'run ltxd as root (in a container: with --cap-add SYS_ADMIN --device /dev/fuse)'
  return new MountError('MOUNT_DENIED', `${said}; ${advice}`, cause === undefined ? undefined : { cause })
}

function inUse(target: string): MountError {
  return new MountError('MOUNT_IN_USE', `another ltxd serves ${target}; stop it first, or choose another mount point`)
}

function isDisconnected(stderr: string): boolean {
  return stderr.includes('Transport endpoint is not connected') || stderr.includes('connection abort')
}

const MAX_SYMLINKS = 40

/**
 * The path as /proc/self/mountinfo has it. Does not touch what is mounted there: it may be dead, or be served by this
 * very process, which would then wait for itself.
 */
function realPath(directory: string): string {
  let candidate = path.resolve(directory)
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    candidate = path.join(realParent(candidate), path.basename(candidate))
    if (mountAt(candidate) !== undefined) return candidate
    const target = symlinkTarget(candidate)
    if (target === undefined) return candidate
    candidate = path.resolve(path.dirname(candidate), target)
  }
  throw new MountError('MOUNT_FAILED', `${directory} leads through too many symbolic links; name the directory itself`)
}

function realParent(absolute: string): string {
  const parent = path.dirname(absolute)
  try {
    return fs.realpathSync(parent)
  } catch {
    return parent // it does not exist yet
  }
}

function symlinkTarget(absolute: string): string | undefined {
  try {
    return fs.readlinkSync(absolute)
  } catch {
    return undefined
  }
}

interface Outcome {
  readonly status: number | null
  readonly stderr: string
}

/** Runs a command in the C locale. One that does not end in time is left behind: it may not be killable. */
function run(command: string, args: readonly string[], timeoutMs = COMMAND_TIMEOUT_MS): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
    let stderr = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      child.stderr.destroy()
      resolve({ status: null, stderr: `${command} did not end within ${timeoutMs} ms` })
    }, timeoutMs)
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', (error) => {
      clearTimeout(timer)
      resolve({ status: null, stderr: error.message })
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, stderr: stderr.trim() })
    })
  })
}

/**
 * Mounts through libfuse 2: a process of its own, the bridge (bridge/main.ts), serves the mount with the npm package
 * fuse-native, and forwards each call as a request of the kernel's protocol. So the session reads from a socket the
 * requests that it would read from the device.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { WITHOUT_DEBUGGER } from '../../util/debugger.ts'
import { helperEnvironment } from '../../util/environment.ts'
import { errorMessage } from '../../util/errors.ts'
import { checkAccess } from '../host/access.ts'
import { COMMAND_TIMEOUT_MS } from '../host/command.ts'
import { socketPair } from '../host/descriptor-socket.ts'
import { MountError } from '../host/mount-error.ts'
import { type MountPoint, SUBTYPE } from '../host/mount-point.ts'
import { type Mounted, OwnMount } from '../host/own-mount.ts'
import { isRoot } from '../host/privilege.ts'

export interface BridgeOptions {
  readonly fsname: string
  readonly subtype: string
  readonly allowOther: boolean
}

/** The program of the bridge, built beside this file. */
const PROGRAM = fileURLToPath(new URL('./fuse-bridge.js', import.meta.url))

/** Mounts at a directory. Throws MountError. */
export async function mountThroughBridge(
  { path, directory }: MountPoint,
  options: Omit<BridgeOptions, 'subtype'>,
): Promise<Mounted> {
  if (!isRoot()) checkAccess(path)
  const [device, bell] = await openSockets()
  const all: BridgeOptions = { ...options, subtype: SUBTYPE }
  const bridge = new BridgeProcess([...WITHOUT_DEBUGGER, PROGRAM, path, JSON.stringify(all)], bell, directory)
  let at: OwnMount | undefined
  const close = async () => {
    fs.closeSync(device) // Ends a bridge that waits for an answer.
    await bridge.end()
    at?.place.close()
  }
  const isMounted = await bridge.mounted()
  // The session must end with the bridge, so this process closes its copy of the bridge's socket then.
  const closed = bridge.ended.then(() => fs.closeSync(bell))
  if (!isMounted) {
    await close()
    await closed
    throw failure(path, bridge.stderr.trim() || `it did not answer within ${COMMAND_TIMEOUT_MS} ms`)
  }
  try {
    at = OwnMount.at(directory, options.fsname)
  } catch (error) {
    await close()
    await closed
    throw error
  }
  return {
    device,
    at,
    get bell() {
      return bridge.isRunning ? bell : undefined
    },
    get end() {
      return bridge.failure
    },
    close,
  }
}

class BridgeProcess {
  readonly ended: Promise<void>
  isRunning = true
  /** How the process failed; undefined while it runs, and after it ended with code 0. */
  failure: string | undefined
  stderr = ''
  readonly #child: ChildProcess

  constructor(args: readonly string[], socket: number, directory: number) {
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'pipe', socket, directory],
      env: helperEnvironment(),
    })
    this.#child = child
    child.stdin?.on('error', () => undefined) // The process has ended, which `ended` reports.
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => (this.stderr ||= error.message))
      child.once('close', (code, signal) => {
        this.isRunning = false
        if (code !== 0) this.failure = `the process of fuse-native ended with ${signal ?? code} ${this.stderr}`.trim()
        resolve()
      })
    })
  }

  /** Resolves to true when the bridge serves the mount, and to false when it ended before. */
  async mounted(): Promise<boolean> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), COMMAND_TIMEOUT_MS)
    const printed = new Promise<boolean>((resolve) => this.#child.stdout?.once('data', () => resolve(true)))
    const isMounted = await Promise.race([printed, this.ended.then(() => false)])
    clearTimeout(late)
    return isMounted
  }

  async end(): Promise<void> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), COMMAND_TIMEOUT_MS)
    this.#child.stdin?.end()
    await this.ended
    clearTimeout(late)
  }
}

async function openSockets(): Promise<[number, number]> {
  try {
    return await socketPair('messages')
  } catch (error) {
    throw missing(`the native module koffi: ${errorMessage(error)}`, error)
  }
}

function failure(target: string, reason: string): MountError {
  if (/cannot find (module|package)|cannot open shared object|no native build/i.test(reason)) return missing(reason)
  const needs = isRoot() ? 'CAP_SYS_ADMIN' : 'the program fusermount (package fuse3 or fuse)'
  return new MountError(
    'MOUNT_FAILED',
    `libfuse cannot mount at ${target}: ${reason}; it needs /dev/fuse and ${needs}; or set fuse.driver to direct`,
  )
}

function missing(reason: string, cause?: unknown): MountError {
  return new MountError(
    'DRIVER_MISSING',
    `fuse.driver is fuse-native, and the package fuse-native does not load here (${reason.split('\n', 1)[0]}); ` +
      'install it (npm install fuse-native), or set fuse.driver to direct',
    cause === undefined ? undefined : { cause },
  )
}

/**
 * Receives a descriptor that another process sends through a Unix socket (SCM_RIGHTS, unix(7)). Node cannot: its own
 * channel between processes accepts only sockets, and aborts on a device. So this calls libc through koffi. Struct
 * layouts are those of Linux on 64-bit machines.
 */

import fs from 'node:fs'

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_SEQPACKET = 5
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_CMSG_CLOEXEC = 0x4000_0000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
/** struct cmsghdr: length, level, type; then one descriptor, padded to eight bytes. */
const CMSG = { length: 0, level: 8, type: 12, descriptor: 16, SIZE: 24, LENGTH_OF_ONE: 20 } as const

interface MessageHeader {
  name: null
  nameLength: number
  parts: { base: Uint8Array; length: number }[]
  partCount: number
  control: Uint8Array
  controlLength: number
  flags: number
}

interface Libc {
  readonly socketpair: (domain: number, type: number, protocol: number, ends: Int32Array) => number
  readonly recvmsg: (socket: number, message: MessageHeader, flags: number) => number
}

let libc: Libc | undefined

/** A pair of sockets, one of which goes to the sending process. */
export class DescriptorSocket {
  /** The sender's end, for its `stdio`. */
  readonly theirs: number
  readonly #ours: number

  private constructor(ours: number, theirs: number) {
    this.#ours = ours
    this.theirs = theirs
  }

  /** Throws the error of loading koffi when it has no native module for this machine. */
  static async open(): Promise<DescriptorSocket> {
    return new DescriptorSocket(...(await socketPair('stream')))
  }

  /**
   * The descriptor that was sent, close-on-exec; undefined when there is none. Does not wait: call it after the sender
   * has ended.
   */
  receive(): number | undefined {
    const data = new Uint8Array(1)
    const control = new Uint8Array(CMSG.SIZE)
    const message: MessageHeader = {
      name: null,
      nameLength: 0,
      parts: [{ base: data, length: data.length }],
      partCount: 1,
      control,
      controlLength: control.length,
      flags: 0,
    }
    const received = libc?.recvmsg(this.#ours, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) ?? -1
    if (received !== 1) return undefined
    const fields = new DataView(control.buffer)
    const word = (offset: number) => fields.getInt32(offset, LITTLE_ENDIAN)
    if (word(CMSG.length) !== CMSG.LENGTH_OF_ONE) return undefined
    if (word(CMSG.level) !== SOL_SOCKET || word(CMSG.type) !== SCM_RIGHTS) return undefined
    return word(CMSG.descriptor)
  }

  close(): void {
    fs.closeSync(this.#ours)
    fs.closeSync(this.theirs)
  }
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/**
 * Two connected sockets, close-on-exec. With `messages`, each write is one read. Throws the error of loading koffi when
 * it has no native module for this machine.
 */
export async function socketPair(kind: 'stream' | 'messages'): Promise<[number, number]> {
  libc ??= await load()
  const ends = new Int32Array(2)
  const type = kind === 'stream' ? SOCK_STREAM : SOCK_SEQPACKET
  if (libc.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) !== 0) throw new Error('socketpair failed')
  const [one = -1, other = -1] = ends
  return [one, other]
}

/** Loaded on first use: only a mount without root, or through a bridge, needs it. */
async function load(): Promise<Libc> {
  const { default: koffi } = await import('koffi')
  const part = koffi.struct({ base: 'void *', length: 'size_t' })
  const header = koffi.struct({
    name: 'void *',
    nameLength: 'uint32',
    parts: koffi.pointer(part),
    partCount: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  })
  const library = koffi.load(null)
  return {
    socketpair: library.func('socketpair', 'int', [
      'int',
      'int',
      'int',
      koffi.out(koffi.pointer('int')),
    ]) as Libc['socketpair'],
    recvmsg: library.func('recvmsg', 'int64', ['int', koffi.pointer(header), 'int']) as Libc['recvmsg'],
  }
}

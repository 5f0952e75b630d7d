import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import { FsError } from '../errno.ts'
import type { FileSystem } from '../filesystem.ts'
import { negotiate } from './init.ts'
import { INIT_FLAG, OPCODE, type OpcodeName } from './kernel.ts'
import { perform } from './operations.ts'
import { Reply } from './reply.ts'
import { Request } from './request.ts'

const request = new Request()
const reply = new Reply()

/** Builds a message of the kernel: a header, 32-bit words, then bytes. */
function message(name: OpcodeName | 'UNKNOWN', words: readonly number[], rest = ''): Request {
  const body = Buffer.from(rest, 'latin1')
  const length = 40 + words.length * 4 + body.length
  request.words.fill(0xffffffff, 0, 64)
  request.words.set([length, name === 'UNKNOWN' ? 999 : OPCODE[name], 7, 0, 1, 0, 1000, 100, 4242, 0, ...words])
  request.bytes.set(body, 40 + words.length * 4)
  request.begin(length)
  reply.begin(request)
  return request
}

function rejected(message: Request, fs: Partial<FileSystem> = {}): string {
  try {
    perform(fs as FileSystem, message, reply)
    return `answered ${-((reply.words[1] as number) | 0)}`
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
}

describe('a message of the kernel', () => {
  it('that does not have the length it states ends the session', () => {
    message('GETATTR', [0, 0, 0, 0])
    expect(() => request.begin(39)).toThrow('does not have the length')
    expect(() => request.begin(50)).toThrow('does not have the length')
  })

  it('that is shorter than its struct, or than the data it states, is rejected', () => {
    expect(rejected(message('SETATTR', [1, 2, 3]))).toBe('EINVAL')
    expect(rejected(message('WRITE', [1, 0, 0, 0, 500, 0, 0, 0, 0, 0], 'short'))).toBe('EINVAL')
    expect(rejected(message('BATCH_FORGET', [0x7fffffff, 0]))).toBe('EINVAL')
    expect(rejected(message('LOOKUP', [], 'unterminated'))).toBe('EINVAL')
    expect(rejected(message('SYMLINK', [], 'name\0target without an end'))).toBe('EINVAL')
  })

  it.each(['\0', '.\0', '..\0', 'a/b\0', '/\0'])('with the name %j is rejected', (name) => {
    for (const operation of ['LOOKUP', 'UNLINK', 'RMDIR'] as const)
      expect(rejected(message(operation, [], name))).toBe('EINVAL')
    expect(rejected(message('MKDIR', [0o755, 0], name))).toBe('EINVAL')
    expect(rejected(message('RENAME2', [1, 0, 0, 0], `fine\0${name}`))).toBe('EINVAL')
  })

  it('with names that are not UTF-8 passes them on, each as a string of its own', () => {
    const seen: string[] = []
    const lookup = (_parent: number, name: string) => void seen.push(name)
    const rename = (_parent: number, name: string, _to: number, newName: string) => void seen.push(name, newName)
    expect(rejected(message('LOOKUP', [], 'a\xff\0'), { lookup })).toBe('answered 0')
    expect(rejected(message('LOOKUP', [], 'a\xfe\0'), { lookup })).toBe('answered 0')
    expect(rejected(message('RENAME2', [1, 0, 0, 0], '\xc3\xa9\0\xc3\0'), { rename })).toBe('answered 0')
    expect(seen).toEqual(['a\udcff', 'a\udcfe', 'é', '\udcc3'])
  })

  it('with a position that no file can have is rejected', () => {
    expect(rejected(message('WRITE', [1, 0, 0, 0x40000000, 1, 0, 0, 0, 0, 0], 'x'))).toBe('EFBIG')
    expect(rejected(message('READ', [1, 0, 0, 0x40000000, 1, 0, 0, 0, 0, 0]))).toBe('EFBIG')
  })

  it('with an opcode that is not served is answered ENOSYS, which the kernel remembers', () => {
    for (const kind of [
      'FLUSH',
      'OPENDIR',
      'ACCESS',
      'GETXATTR',
      'FALLOCATE',
      'LSEEK',
      'POLL',
      'IOCTL',
      'UNKNOWN',
    ] as const) {
      expect(rejected(message(kind, []))).toBe(`answered ${constants.errno.ENOSYS}`)
      expect(reply.length).toBe(16)
    }
  })

  it('that exchanges names, or makes a hard link, is rejected', () => {
    expect(rejected(message('RENAME2', [1, 0, 2, 0], 'a\0b\0'))).toBe('EINVAL')
    const link = (): never => {
      throw new FsError('EPERM')
    }
    expect(rejected(message('LINK', [2, 0], 'b\0'), { link })).toBe('EPERM')
  })

  it('is answered under its own number, and a missing name with success and no node', () => {
    perform({ lookup: () => undefined } as unknown as FileSystem, message('LOOKUP', [], 'nobody\0'), reply)
    reply.seal()
    expect([...reply.words.subarray(0, 6)]).toEqual([16 + 128, 0, 7, 0, 0, 0])
    expect(reply.words[(16 + 16) >> 2]).toBe(0x7fffffff)
  })

  it('carries signed times, and the caller', () => {
    let seen: unknown
    const fs = {
      setAttributes: (_node: number, change: object, caller: { uid: number; gid: number; tid: number }) => {
        seen = { ...change, uid: caller.uid, gid: caller.gid, tid: caller.tid }
        throw new FsError('EPERM')
      },
    } as unknown as FileSystem
    const words = new Array<number>(22).fill(0)
    words[0] = 1 << 5
    words.splice(10, 2, -86_401 >>> 0, 0xffffffff)
    words[15] = 500_000_000
    expect(rejected(message('SETATTR', words), fs)).toBe('EPERM')
    expect(seen).toEqual({ mtime: -86_400.5, killPrivileges: false, uid: 1000, gid: 100, tid: 4242 })
  })
})

describe('the first exchange', () => {
  const ALL = 0x73fffffb

  it('accepts the features that both sides have, and never locks or delayed writes', () => {
    const agreed = negotiate(message('INIT', [7, 45, 131072, ALL, 0, ...new Array<number>(11).fill(0)]), reply)
    expect(agreed?.minor).toBe(38)
    const never = INIT_FLAG.POSIX_LOCKS | INIT_FLAG.FLOCK_LOCKS | INIT_FLAG.WRITEBACK_CACHE
    expect((agreed?.flags ?? 0) & never).toBe(0)
    expect((agreed?.flags ?? 0) & INIT_FLAG.ATOMIC_O_TRUNC).not.toBe(0)
    expect([...reply.words.subarray(4, 8)]).toEqual([7, 38, 131072, agreed?.flags])
  })

  it('accepts an older kernel’s minor version, whose message is shorter', () => {
    expect(negotiate(message('INIT', [7, 31, 131072, ALL & ~INIT_FLAG.HANDLE_KILLPRIV_V2]), reply)?.minor).toBe(31)
  })

  it('is repeated when the kernel speaks a newer major version', () => {
    expect(negotiate(message('INIT', [8, 0, 0, 0]), reply)).toBeUndefined()
    expect(reply.words[4]).toBe(7)
  })

  it.each([
    [7, 30, ALL],
    [6, 99, ALL],
    [7, 38, ALL & ~INIT_FLAG.ATOMIC_O_TRUNC],
  ])('with FUSE %i.%i and flags %i ends with advice', (major, minor, flags) => {
    expect(() => negotiate(message('INIT', [major, minor, 0, flags]), reply)).toThrow('Linux 5.4')
  })
})

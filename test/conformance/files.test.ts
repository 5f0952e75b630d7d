import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { SEED } from '../harness/effort.ts'
import { Random } from '../harness/random.ts'
import { it } from './conforming.ts'
import { IS_ROOT, python, Served, shell } from './served.ts'

let served: Served
beforeAll(async () => void (served = await Served.start()))
afterAll(() => served.end())

describe('a regular file', () => {
  it('is created, written, read and removed together with its backing file', async () => {
    await fs.writeFile(served.at('plain'), 'hello')
    expect(await fs.readFile(served.at('plain'), 'utf8')).toBe('hello')
    expect(await fs.readFile(served.behind('plain'), 'utf8')).toBe('hello')
    await fs.unlink(served.at('plain'))
    await expect(fs.stat(served.at('plain'))).rejects.toThrow('ENOENT')
    await expect(fs.stat(served.behind('plain'))).rejects.toThrow('ENOENT')
  })

  it('is not created a second time with O_EXCL', async () => {
    const { O_CREAT, O_EXCL, O_WRONLY } = constants
    await (await fs.open(served.at('once'), O_CREAT | O_EXCL | O_WRONLY)).close()
    await expect(fs.open(served.at('once'), O_CREAT | O_EXCL | O_WRONLY)).rejects.toThrow('EEXIST')
  })

  it('loses no line when several processes append to it', async () => {
    const writer = 'for i in $(seq 200); do echo "$0 $i" >> appended; done'
    await Promise.all(['a', 'b', 'c'].map((name) => shell(served.mount, writer.replaceAll('$0', name))))
    const lines = (await fs.readFile(served.at('appended'), 'utf8')).trimEnd().split('\n')
    expect(new Set(lines).size).toBe(600)
  })

  it(`equals a model in memory after random reads and writes (LTXD_SEED=${SEED})`, async () => {
    const random = new Random(SEED)
    const file = await fs.open(served.at('random'), 'w+')
    let model = Buffer.alloc(0)
    for (let step = 0; step < 300; step++) {
      const position = random.integer(0, 300_000)
      if (random.next() < 0.1) {
        await file.truncate(position)
        const next = Buffer.alloc(position)
        model.copy(next)
        model = next
        continue
      }
      const data = Buffer.alloc(random.integer(1, random.next() < 0.1 ? 200_000 : 5_000), random.integer(1, 255))
      await file.write(data, 0, data.length, position)
      const next = Buffer.alloc(Math.max(model.length, position + data.length))
      model.copy(next)
      data.copy(next, position)
      model = next
    }
    await file.close()
    expect((await fs.readFile(served.at('random'))).equals(model)).toBe(true)
    expect((await fs.readFile(served.behind('random'))).equals(model)).toBe(true)
  })

  it('stores and returns 48 MiB in large pieces', async () => {
    const data = Buffer.alloc(48 << 20)
    for (let i = 0; i < data.length; i += 4096) data.writeUInt32LE(i, i)
    await fs.writeFile(served.at('large'), data)
    expect((await fs.readFile(served.at('large'))).equals(data)).toBe(true)
    expect((await fs.readFile(served.behind('large'))).equals(data)).toBe(true)
  })

  it('is written in the fewest requests that the kernel can make', async () => {
    const data = Buffer.alloc(4 << 20, 7)
    const requests = await served.requestsOf(() => fs.writeFile(served.at('pieces'), data))
    expect(requests.WRITE).toBeLessThanOrEqual(12)
  })

  it('is emptied by O_TRUNC, even while another handle has it open', async () => {
    await fs.writeFile(served.at('emptied'), 'x'.repeat(10_000))
    const open = await fs.open(served.at('emptied'), 'r')
    await (await fs.open(served.at('emptied'), 'w')).close()
    expect((await open.stat()).size).toBe(0)
    expect((await open.read(Buffer.alloc(10), 0, 10, 0)).bytesRead).toBe(0)
    await open.close()
  })

  it('is truncated, and extended with zeroes, by name and by handle', async () => {
    await fs.writeFile(served.at('cut'), 'abcdefgh')
    await fs.truncate(served.at('cut'), 3)
    expect(await fs.readFile(served.at('cut'), 'utf8')).toBe('abc')
    const open = await fs.open(served.at('cut'), 'r+')
    await open.truncate(6)
    await open.close()
    expect(await fs.readFile(served.at('cut'), 'utf8')).toBe('abc\0\0\0')
  })

  it('has holes that read as zeroes and use no space', async () => {
    const open = await fs.open(served.at('sparse'), 'w+')
    await open.write('end', 3 * 2 ** 32)
    const stat = await open.stat()
    expect(stat.size).toBe(3 * 2 ** 32 + 3)
    expect(stat.blocks).toBeLessThan(100)
    const middle = Buffer.alloc(4096, 1)
    await open.read(middle, 0, 4096, 2 ** 32)
    expect(middle.every((byte) => byte === 0)).toBe(true)
    await open.close()
    await fs.unlink(served.at('sparse'))
  })

  it('rejects a position beyond any file, and stays usable', async () => {
    const program = `
import os, sys, errno
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for attempt in (lambda: os.pwrite(fd, b"x", 2**62), lambda: os.ftruncate(fd, 2**61), lambda: os.truncate(sys.argv[1], 2**60)):
    try:
        attempt()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
`
    expect(await python(program, served.at('far'))).toBe('EFBIG\nEFBIG\nEFBIG')
    expect((await fs.stat(served.at('far'))).size).toBe(0)
  })

  it('stays usable while open after its removal, and its name is free', async () => {
    await fs.writeFile(served.at('gone'), 'before')
    const open = await fs.open(served.at('gone'), 'r+')
    await fs.unlink(served.at('gone'))
    await fs.writeFile(served.at('gone'), 'another')
    await open.write(' and after', 6)
    await open.sync()
    await open.chmod(0o600)
    await open.truncate(13)
    const stat = await open.stat()
    expect([stat.nlink, stat.size, stat.mode & 0o777]).toEqual([0, 13, 0o600])
    expect((await open.readFile('utf8')).toString()).toBe('before and af')
    await open.close()
    expect(await fs.readFile(served.at('gone'), 'utf8')).toBe('another')
  })

  it('is allocated in advance by posix_fallocate, and copied by cp and copy_file_range', async () => {
    await python(
      'import os,sys; os.posix_fallocate(os.open(sys.argv[1], os.O_RDWR|os.O_CREAT), 0, 100000)',
      served.at('allocated'),
    )
    expect((await fs.stat(served.at('allocated'))).size).toBe(100_000)
    await shell(served.mount, 'head -c 3000000 /dev/urandom > original; cp original copy; cmp original copy')
    await fs.copyFile(served.at('original'), served.at('copied'))
    await shell(served.mount, 'cmp original copied; cp --sparse=always original sparse; cmp original sparse')
  })

  it('is written and read past the page cache with O_DIRECT', async () => {
    await shell(
      served.mount,
      'dd if=/dev/zero of=direct bs=1M count=3 oflag=direct status=none; printf x | dd of=direct conv=notrunc bs=1 seek=2000000 status=none',
    )
    await shell(served.mount, `dd if=direct bs=4M iflag=direct status=none | cmp - ${served.behind('direct')}`)
  })

  it('is synced by fsync, fdatasync and sync of its directory', async () => {
    const requests = await served.requestsOf(async () => {
      await python(
        `
import os, sys
fd = os.open(sys.argv[1] + '/synced', os.O_RDWR | os.O_CREAT)
os.write(fd, b'x'); os.fsync(fd); os.fdatasync(fd)
os.fsync(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY))`,
        served.mount,
      )
    })
    expect([requests.FSYNC, requests.FSYNCDIR]).toEqual([2, 1])
  })

  it.runIf(IS_ROOT)(
    'has one inode number through closing, forgetting and renaming, the same as in listings',
    async () => {
      await fs.writeFile(served.at('numbered'), '')
      const { ino } = await fs.stat(served.at('numbered'))
      await fs.rename(served.at('numbered'), served.at('renumbered'))
      await shell(served.mount, 'echo 2 > /proc/sys/vm/drop_caches')
      expect((await fs.stat(served.at('renumbered'))).ino).toBe(ino)
      expect(await shell(served.mount, 'ls -i | grep renumbered')).toContain(`${ino} renumbered`)
    },
  )
})

describe('the kernel’s cache', () => {
  it('looks up a missing file once', async () => {
    const look = async () => void (await fs.stat(served.at('missing-journal')).catch(() => undefined))
    await look()
    const requests = await served.requestsOf(async () => {
      for (let i = 0; i < 50; i++) await look()
    })
    expect(requests.LOOKUP).toBeUndefined()
    await fs.writeFile(served.at('missing-journal'), 'now it is')
    expect(await fs.readFile(served.at('missing-journal'), 'utf8')).toBe('now it is')
    await fs.unlink(served.at('missing-journal'))
    await expect(fs.stat(served.at('missing-journal'))).rejects.toThrow('ENOENT')
  })

  it('reads bytes once, even after a close, and attributes once more for the time of the access', async () => {
    await fs.writeFile(served.at('cached'), Buffer.alloc(100_000, 1))
    const read = async () => {
      await fs.stat(served.at('cached'))
      await fs.readFile(served.at('cached'))
    }
    await read()
    const requests = await served.requestsOf(async () => {
      for (let i = 0; i < 10; i++) await read()
    })
    expect([requests.READ, requests.LOOKUP, requests.GETATTR]).toEqual([undefined, undefined, 1])
    expect(requests.FLUSH).toBeUndefined()
  })

  it.runIf(IS_ROOT)('frees the server’s memory for a file when it forgets the file', async () => {
    await shell(served.mount, 'mkdir many; for i in $(seq 500); do : > many/f$i; done; rm -r many')
    await shell(served.mount, 'sync; echo 2 > /proc/sys/vm/drop_caches')
    expect(Number(await served.ask('nodes'))).toBeLessThan(100)
  })
})

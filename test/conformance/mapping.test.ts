import fs from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { it } from './conforming.ts'
import { python, Served } from './served.ts'

let served: Served
beforeAll(async () => void (served = await Served.start()))
afterAll(() => served.end())

describe('a shared mapping', () => {
  it('is the same memory for two processes, as SQLite’s -shm needs', async () => {
    const program = `
import mmap, os, sys
path = sys.argv[1]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 65536)
memory = mmap.mmap(fd, 65536)
to_child, from_child = os.pipe(), os.pipe()
if os.fork() == 0:
    other = mmap.mmap(os.open(path, os.O_RDWR), 65536)
    for i in range(1000):
        os.read(to_child[0], 1)
        assert int.from_bytes(other[40000:40004], 'little') == i
        other[50000:50004] = (i * 7).to_bytes(4, 'little')
        os.write(from_child[1], b'x')
    os._exit(0)
for i in range(1000):
    memory[40000:40004] = i.to_bytes(4, 'little')
    os.write(to_child[1], b'x')
    os.read(from_child[0], 1)
    assert int.from_bytes(memory[50000:50004], 'little') == i * 7
print('same')`
    expect(await python(program, served.at('mapped'))).toBe('same')
  })

  it('reaches the file by msync and by closing, and agrees with read and write', async () => {
    const program = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b'a' * 10000, 0)
memory = mmap.mmap(fd, 10000)
os.pwrite(fd, b'written', 5000)
print(memory[5000:5007].decode())
memory[6000:6006] = b'mapped'
print(os.pread(fd, 6, 6000).decode())
memory.flush()
print(open(sys.argv[2], 'rb').read()[6000:6006].decode())
memory[7000:7005] = b'later'
memory.close(); os.close(fd)
`
    expect(await python(program, served.at('flushed'), served.behind('flushed'))).toBe('written\nmapped\nmapped')
    expect((await fs.readFile(served.at('flushed'), 'latin1')).slice(7000, 7005)).toBe('later')
    expect((await fs.readFile(served.behind('flushed'), 'latin1')).slice(7000, 7005)).toBe('later')
  })

  it('stays valid after its file was removed and its descriptor closed', async () => {
    const program = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
memory = mmap.mmap(fd, 8192)
os.close(fd); os.unlink(sys.argv[1])
memory[8000:8004] = b'kept'
memory.flush()
print(memory[8000:8004].decode())`
    expect(await python(program, served.at('unnamed'))).toBe('kept')
  })
})

describe('locks', () => {
  /** Takes a lock in one process and tries it in another. The kernel arbitrates without asking the server. */
  const contend = (take: string) => `
import fcntl, os, struct, sys
take = lambda fd: ${take}
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
take(fd)
def other():
    pid = os.fork()
    if pid == 0:
        mine = os.open(sys.argv[1], os.O_RDWR)
        try: take(mine); os._exit(0)
        except BlockingIOError: os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
held = other()
os.close(fd)
print(held, other())`

  it.each([
    ['POSIX', 'fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0x40000000)'],
    ['flock', 'fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)'],
    ['open file description', `fcntl.fcntl(fd, 37, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 120, 8, 0))`],
  ])('of the %s kind exclude other processes until they are released, without a request', async (_, take) => {
    const requests = await served.requestsOf(async () => {
      expect(await python(contend(take), served.at('locked'))).toBe('1 0')
    })
    expect([requests.GETLK, requests.SETLK, requests.SETLKW]).toEqual([undefined, undefined, undefined])
  })

  it('on different ranges of one file do not conflict, nor do shared locks', async () => {
    const program = `
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(fd, fcntl.LOCK_EX, 1, 120); fcntl.lockf(fd, fcntl.LOCK_SH, 1, 123)
pid = os.fork()
if pid == 0:
    mine = os.open(sys.argv[1], os.O_RDWR)
    fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 121); fcntl.lockf(mine, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 123)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`
    expect(await python(program, served.at('ranges'))).toBe('0')
  })
})

import fs from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { it } from './conforming.ts'
import { attempt, IS_ROOT, python, Served, shell } from './served.ts'

let served: Served
beforeAll(async () => void (served = await Served.start()))
afterAll(() => served.end())

describe('a directory', () => {
  it('lists each of 1,000 entries once, with its type, by readdir and by readdir with types', async () => {
    await fs.mkdir(served.at('thousand'))
    await shell(served.at('thousand'), 'for i in $(seq 998); do : > file-number-$i; done; mkdir sub; ln -s x link')
    const entries = await fs.readdir(served.at('thousand'), { withFileTypes: true })
    expect(new Set(entries.map((entry) => entry.name)).size).toBe(1000)
    expect(entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)).toEqual(['sub'])
    expect(entries.filter((entry) => entry.isSymbolicLink()).map((entry) => entry.name)).toEqual(['link'])
    expect(await shell(served.at('thousand'), 'ls -la | wc -l')).toBe('1003')
  })

  it('shows changes at once', async () => {
    await fs.mkdir(served.at('changing'))
    for (let i = 0; i < 20; i++) {
      await fs.writeFile(served.at('changing', `f${i}`), '')
      expect((await fs.readdir(served.at('changing'))).length).toBe(i + 1)
    }
    await fs.unlink(served.at('changing', 'f7'))
    await fs.rename(served.at('changing', 'f8'), served.at('changing', 'g8'))
    const names = await fs.readdir(served.at('changing'))
    expect(names).not.toContain('f7')
    expect(names).not.toContain('f8')
    expect(names).toContain('g8')
  })

  it('can be emptied while it is being read', async () => {
    await shell(served.mount, 'mkdir -p deep/er; for i in $(seq 2000); do : > deep/er/$i; done; rm -r deep')
    await expect(fs.stat(served.at('deep'))).rejects.toThrow('ENOENT')
    const program = `
import os, sys
d = sys.argv[1] + '/shrinking'
os.mkdir(d)
for i in range(3000): open(f'{d}/{i:05}', 'w').close()
with os.scandir(d) as entries:
    for entry in entries: os.unlink(entry.path)
os.rmdir(d)
print('empty')`
    expect(await python(program, served.mount)).toBe('empty')
  })

  it('cannot be removed unless it is empty', async () => {
    await shell(served.mount, 'mkdir full; : > full/file')
    await expect(fs.rmdir(served.at('full'))).rejects.toThrow('ENOTEMPTY')
    await expect(fs.unlink(served.at('full'))).rejects.toThrow('EISDIR')
    await expect(fs.rmdir(served.at('full', 'file'))).rejects.toThrow('ENOTDIR')
  })

  it('can be renamed while files in it are open, and they stay usable', async () => {
    await shell(served.mount, 'mkdir -p before/inner; echo one > before/inner/file')
    const open = await fs.open(served.at('before', 'inner', 'file'), 'r+')
    await fs.rename(served.at('before'), served.at('after'))
    await open.write('two', 0)
    await open.truncate(3)
    await open.sync()
    expect((await open.stat()).size).toBe(3)
    await open.close()
    expect(await fs.readFile(served.at('after', 'inner', 'file'), 'utf8')).toBe('two')
    expect(await fs.readFile(served.behind('after', 'inner', 'file'), 'utf8')).toBe('two')
    await fs.writeFile(served.at('after', 'inner', 'new'), '')
    expect(await fs.readdir(served.behind('after', 'inner'))).toEqual(['file', 'new'])
  })

  it('counts its subdirectories in its links, and belongs to the user who made it', async () => {
    await shell(served.mount, 'mkdir -p links/a links/b')
    expect((await fs.stat(served.at('links'))).nlink).toBe((await fs.stat(served.behind('links'))).nlink)
  })
})

describe('a rename', () => {
  it('replaces an existing file, even an open one', async () => {
    await fs.writeFile(served.at('old'), 'old')
    await fs.writeFile(served.at('new'), 'new')
    const open = await fs.open(served.at('new'), 'r')
    await fs.rename(served.at('old'), served.at('new'))
    expect(await fs.readFile(served.at('new'), 'utf8')).toBe('old')
    expect(await open.readFile('utf8')).toBe('new')
    await open.close()
    await expect(fs.stat(served.at('old'))).rejects.toThrow('ENOENT')
  })

  it('moves an open file to another directory', async () => {
    await shell(served.mount, 'mkdir from to; echo 1 > from/x; echo 2 > to/x')
    const open = await fs.open(served.at('from', 'x'), 'a+')
    await fs.rename(served.at('from', 'x'), served.at('to', 'x'))
    await open.write('more')
    await open.close()
    expect(await fs.readFile(served.at('to', 'x'), 'utf8')).toBe('1\nmore')
  })

  it('honours RENAME_NOREPLACE, and rejects RENAME_EXCHANGE and a directory over a file', async () => {
    const program = `
import ctypes, os, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
for name in 'pq': open(name, 'w').close()
os.mkdir('r')
def rename(a, b, flags):
    ok = libc.renameat2(-100, a, -100, b, flags) == 0
    print('ok' if ok else errno.errorcode[ctypes.get_errno()])
rename(b'p', b'q', 1); rename(b'p', b'q', 2); rename(b'p', b's', 1); rename(b'r', b'q', 0); rename(b'q', b'r', 0)`
    expect(await python(program, served.mount)).toBe('EEXIST\nEINVAL\nok\nENOTDIR\nEISDIR')
  })
})

describe('names', () => {
  it('may be up to 255 bytes long', async () => {
    await fs.writeFile(served.at('n'.repeat(255)), 'long')
    expect(await fs.readdir(served.mount)).toContain('n'.repeat(255))
    await expect(fs.writeFile(served.at('n'.repeat(256)), '')).rejects.toThrow('ENAMETOOLONG')
  })

  it('may contain any characters, and are listed unchanged', async () => {
    const names = ['ä ö ü', '数据库.db', '🗄️', 'a\tb\nc', '-rf', '\u{301}e', 'NFC é', 'percent%20', 'quote\'"', '...']
    await fs.mkdir(served.at('names'))
    for (const name of names) await fs.writeFile(served.at('names', name), name)
    expect((await fs.readdir(served.at('names'))).sort()).toEqual([...names].sort())
    expect((await fs.readdir(served.behind('names'))).sort()).toEqual([...names].sort())
    for (const name of names) expect(await fs.readFile(served.at('names', name), 'utf8')).toBe(name)
  })

  it('that are not UTF-8 work as any others, and are listed byte for byte', async () => {
    const program = `
import os, stat, sys
for root in map(os.fsencode, sys.argv[1:]):
    os.mkdir(root + b'/\\xff')
    os.chdir(root + b'/\\xff')
    names = [b'\\xff', b'a\\xc0b', b'\\xed\\xa0\\x80', b'\\xfe', b'\\xef\\xbf\\xbd', b'\\xc3\\xa9', b'\\xff' * 255]
    for name in names:
        with open(name, 'xb') as file: file.write(name)
    for name in names: assert open(name, 'rb').read() == name
    assert sorted(os.listdir(b'.')) == sorted(names), os.listdir(b'.')
    os.symlink(b'a\\xc0b', b'link\\xff'); assert os.readlink(b'link\\xff') == b'a\\xc0b'
    assert open(b'link\\xff', 'rb').read() == b'a\\xc0b'
    os.rename(b'a\\xc0b', b'moved\\x80'); assert not os.path.exists(b'a\\xc0b')
    os.chmod(b'moved\\x80', 0o640); assert stat.S_IMODE(os.stat(b'moved\\x80').st_mode) == 0o640
    os.truncate(b'moved\\x80', 1); os.utime(b'moved\\x80', (5, 5)); assert os.stat(b'moved\\x80').st_mtime == 5
    os.replace(b'\\xfe', b'moved\\x80'); assert open(b'moved\\x80', 'rb').read() == b'\\xfe'
    os.makedirs(b'd\\xff/e\\xfe'); open(b'd\\xff/e\\xfe/f', 'w').close()
    os.rename(b'd\\xff', b'd'); assert os.listdir(b'd') == [b'e\\xfe']
    for name in os.listdir(b'.'):
        if name != b'd': os.unlink(name)
    os.unlink(b'd/e\\xfe/f'); os.removedirs(b'd/e\\xfe')
    os.chdir(root); os.rmdir(b'\\xff')
    print(b'\\xff' in os.listdir(root))`
    expect(await python(program, served.directory, served.mount)).toBe('False\nFalse')
  })

  it('that are not UTF-8 and lie behind the mount are listed and opened', async () => {
    await fs.writeFile(Buffer.from(`${served.behind('')}/behind-\xff`, 'latin1'), 'behind')
    const program = `
import os, sys
os.chdir(sys.argv[1])
print([open(name).read() for name in os.listdir(b'.') if name == b'behind-\\xff'])`
    expect(await python(program, served.mount)).toBe("['behind']")
  })

  it('may contain the replacement character', async () => {
    await fs.writeFile(served.at('\ufffd'), 'a name like any other')
    expect(await fs.readFile(served.at('\ufffd'), 'utf8')).toBe('a name like any other')
  })

  it('in a deep tree work up to the longest path that the kernel allows', async () => {
    const program = `
import os, sys
os.chdir(sys.argv[1])
for i in range(60): os.mkdir('d' * 50); os.chdir('d' * 50)
open('bottom', 'w').write('here'); print(open('bottom').read())`
    expect(await python(program, served.mount)).toBe('here')
  })
})

describe('symbolic links', () => {
  it('are made, read, followed by the kernel and removed', async () => {
    await fs.writeFile(served.at('target'), 'through')
    await fs.symlink('target', served.at('pointer'))
    expect(await fs.readlink(served.at('pointer'))).toBe('target')
    expect(await fs.readFile(served.at('pointer'), 'utf8')).toBe('through')
    expect((await fs.lstat(served.at('pointer'))).isSymbolicLink()).toBe(true)
    await fs.unlink(served.at('pointer'))
    expect(await fs.readFile(served.at('target'), 'utf8')).toBe('through')
  })

  it('that lead out of the mount are followed for the caller, never by the server', async () => {
    await fs.writeFile(`${served.directory}/outside`, 'secret', { mode: 0o600 })
    await fs.symlink('../outside', served.at('escape'))
    const [own, other] = [process.getuid?.(), IS_ROOT ? 1234 : process.getuid?.()]
    await shell(
      served.mount,
      `chown -h ${other} escape; touch -h -d 2001-01-01 escape; stat -c %u escape | grep -qx ${other}`,
    )
    expect((await fs.stat(`${served.directory}/outside`)).uid).toBe(own)
    expect((await fs.stat(`${served.directory}/outside`)).mode & 0o777).toBe(0o600)
  })

  it('are the only special files: hard links, pipes and devices are rejected', async () => {
    await fs.writeFile(served.at('one'), '')
    await expect(fs.link(served.at('one'), served.at('two'))).rejects.toThrow('EPERM')
    expect((await attempt('mkfifo', [served.at('pipe')])).stderr).toContain('Operation not permitted')
    expect((await attempt('mknod', [served.at('null'), 'c', '1', '3'])).stderr).toContain('Operation not permitted')
    await python('import os,sys; os.mknod(sys.argv[1], 0o100640)', served.at('node'))
    expect((await fs.stat(served.at('node'))).mode & 0o7777).toBe(0o640 & ~0o022)
  })
})

import fs from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { it } from './conforming.ts'
import { attempt, IS_ROOT, python, run, Served, shell } from './served.ts'

const USER = 12_345
const OTHER = 23_456
/** The user that files are given to. Only root may give them to another user. */
const [OWNER, GROUP] = IS_ROOT ? [USER, OTHER] : [process.getuid?.() ?? 0, process.getgid?.() ?? 0]

let served: Served
beforeAll(async () => {
  served = await Served.start()
  await fs.chmod(served.mount, 0o1777)
  await fs.chmod(served.directory, 0o755)
})
afterAll(() => served.end())

/** Runs a shell script on the mount as another user, in one group. */
function as(uid: number, script: string, gid = uid) {
  const user = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups']
  return attempt('setpriv', [...user, 'bash', '--norc', '-euc', script], served.mount)
}

describe('attributes', () => {
  it('set by chmod, chown and utimes reach the backing file and are read back', async () => {
    await fs.writeFile(served.at('attributed'), 'x')
    await fs.chmod(served.at('attributed'), 0o640)
    await fs.chown(served.at('attributed'), OWNER, GROUP)
    await fs.utimes(served.at('attributed'), 1_000_000_000.25, 1_234_567_890.5)
    for (const path of [served.at('attributed'), served.behind('attributed')]) {
      const stat = await fs.stat(path)
      expect([stat.mode & 0o7777, stat.uid, stat.gid]).toEqual([0o640, OWNER, GROUP])
      expect([stat.atimeMs, stat.mtimeMs]).toEqual([1_000_000_000_250, 1_234_567_890_500])
    }
  })

  it('include times to the microsecond, before 1970 to the millisecond, set one by one, by name and by handle', async () => {
    await shell(
      served.mount,
      'touch -d "2024-02-29 12:34:56.123456 UTC" t; stat -c %.9Y t | grep -x 1709210096.123456000',
    )
    await shell(served.mount, 'touch -a -d @5 t; stat -c "%X %.9Y" t | grep -x "5 1709210096.123456000"')
    await shell(served.mount, 'touch -m -d @-86400.5 t; stat -c "%X %.3Y" t | grep -x "5 -86400.500"')
    await python('import os,sys; os.utime(os.open(sys.argv[1], os.O_RDWR), (7, 8))', served.at('t'))
    expect(await run('stat', '-c', '%X %Y', served.at('t'))).toBe('7 8')
    await shell(served.mount, 'touch -d "2024-01-01 UTC" d1; cp -p d1 d2; [ ! d1 -nt d2 ]; [ ! d1 -ot d2 ]')
  })

  it('set to "now" have the time of a write at that moment, within a clock tick', async () => {
    const before = Date.now()
    await shell(served.mount, 'echo > written; touch touched')
    const [written, touched] = [await fs.stat(served.at('written')), await fs.stat(served.at('touched'))]
    expect(touched.mtimeMs).toBeGreaterThan(written.mtimeMs - 20)
    // The kernel's clock for files lags by up to a tick.
    expect(touched.mtimeMs).toBeGreaterThan(before - 20)
    expect(touched.mtimeMs).toBeLessThanOrEqual(Date.now())
  })

  it('include a modification time that writes, truncation and changes of a directory update', async () => {
    await shell(
      served.mount,
      'mkdir m; : > m/f; touch -d @1 m/f m; echo x > m/f; [ $(stat -c %Y m/f) -gt 1 ]; [ $(stat -c %Y m) -eq 1 ]',
    )
    await shell(
      served.mount,
      'touch -d @1 m/f; truncate -s 0 m/f; [ $(stat -c %Y m/f) -gt 1 ]; : > m/g; [ $(stat -c %Y m) -gt 1 ]',
    )
  })

  it('from statfs are those of the file system below', async () => {
    const [mount, backing] = [await fs.statfs(served.mount), await fs.statfs(served.backing)]
    expect([mount.bsize, mount.blocks, mount.files]).toEqual([backing.bsize, backing.blocks, backing.files])
    expect(await run('stat', '-f', '-c', '%l', served.mount)).toBe('255')
    expect(await run('df', '--output=source,fstype', served.mount)).toContain('ltxd           fuse.ltxd')
  })

  it('are not extended: ls and cp work without them', async () => {
    const program = `import os,sys; os.setxattr(sys.argv[1], 'user.x', b'1')`
    expect((await attempt('python3', ['-c', program, served.at('attributed')])).stderr).toContain('Errno 95')
    await shell(served.mount, 'cp -a attributed attributed-copy; ls -la >/dev/null')
  })
})

// Root's mount admits other users. Another user's mount does so only with allow-other (as-user.test.ts).
describe.runIf(IS_ROOT)('another user', () => {
  it('owns the files that it creates, with its own umask', async () => {
    const made = await as(
      USER,
      'umask 027; : > mine; mkdir mydir; ln -s x mylink; stat -c "%u %g %a" mine mydir mylink',
      OTHER,
    )
    expect(made.stdout).toBe(`${USER} ${OTHER} 640\n${USER} ${OTHER} 750\n${USER} ${OTHER} 777\n`)
    expect((await fs.stat(served.behind('mine'))).uid).toBe(USER)
  })

  it('gets the access that the permissions give, and no more', async () => {
    await shell(served.mount, 'echo private > private; chmod 600 private; echo public > public; chmod 644 public')
    expect((await as(USER, 'cat private')).stderr).toContain('Permission denied')
    expect((await as(USER, 'cat public')).stdout).toBe('public\n')
    expect((await as(USER, 'echo x > public')).stderr).toContain('Permission denied')
    expect((await as(USER, 'chmod 777 public')).stderr).toContain('Operation not permitted')
    expect((await as(USER, 'chown 12345 public')).stderr).toContain('Operation not permitted')
    expect((await as(USER, 'touch -d @1 public')).stderr).toMatch(/Permission denied|Operation not permitted/)
    expect((await as(USER, 'rm -f public')).stderr).toContain('Operation not permitted')
    await shell(served.mount, 'mkdir closed; : > closed/file; chmod 700 closed')
    expect((await as(USER, 'cat closed/file')).stderr).toContain('Permission denied')
    expect((await as(USER, 'ls closed')).stderr).toContain('Permission denied')
  })

  it('reads files that it may not write, and writes files that are open to all', async () => {
    await shell(served.mount, 'echo r > readonly; chmod 444 readonly')
    expect((await as(USER, 'cat readonly')).stdout).toBe('r\n')
    expect((await as(OTHER, 'umask 0; echo o > open')).code).toBe(0)
    expect((await as(USER, 'echo more >> open; cat open')).stdout).toBe('o\nmore\n')
  })

  it('creates files with the group of a set-group-id directory', async () => {
    await shell(served.mount, `mkdir shared; chown 0:${OTHER} shared; chmod 2777 shared`)
    const made = await as(USER, 'umask 022; cd shared; : > f; mkdir d; stat -c "%u %g %a" f d')
    expect(made.stdout).toBe(`${USER} ${OTHER} 644\n${USER} ${OTHER} 2755\n`)
  })

  it('clears set-id bits by writes, truncation and chown, as on any Linux file system', async () => {
    const make = (name: string) => `echo x > ${name}; chmod 6777 ${name}`
    await shell(served.mount, 'mkdir bits; chmod 777 bits') // not sticky, or the kernel protects others' files
    const bits = served.at('bits')
    await shell(bits, `${['w', 't', 'o', 'c', 'root', 'nox'].map(make).join('; ')}; chmod 2767 nox`)
    const outcome = await as(USER, 'cd bits; echo more >> w; truncate -s 0 t; : > o; echo >> nox')
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    await shell(bits, 'chown 1 c; echo x >> root')
    expect(await shell(bits, 'stat -c %a w t o c root nox')).toBe('777\n777\n777\n777\n6777\n2767')
    expect(await shell(served.behind('bits'), 'stat -c %a w t o c root nox')).toBe('777\n777\n777\n777\n6777\n2767')
  })
})

import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { MountError, type MountErrorCode } from '../../src/fuse/host/mount-error.ts'
import { clearStaleMount, mount } from '../../src/fuse/mount/mount.ts'
import { isMounted } from '../harness/mounts.ts'
import { it } from './conforming.ts'
import { attempt, IS_ROOT, run, Served, shell } from './served.ts'

describe('a mount', () => {
  let served: Served
  beforeEach(async () => void (served = await Served.start()))
  afterEach(() => served.end())

  it('shows its source, type and options', async () => {
    expect(await run('findmnt', '-no', 'SOURCE,FSTYPE', served.mount)).toMatch(/^ltxd +fuse\.ltxd$/)
    const options = (await run('findmnt', '-no', 'OPTIONS', served.mount)).split(',')
    expect(options).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'default_permissions', 'max_read=1048576']))
    expect(options).toContain(`user_id=${process.geteuid?.()}`)
    expect(options.includes('allow_other')).toBe(IS_ROOT)
  })

  it('answers the doorbell while idle', async () => {
    for (let i = 0; i < 50; i++) expect(Number(await served.ask('nodes'))).toBeGreaterThan(0)
  })

  it('shows the daemon’s own changes once it has notified the kernel', async () => {
    const ENTRY = 'known'
    await fs.writeFile(served.at(ENTRY), 'before') // the first file that the kernel knows, after root and doorbell
    await expect(fs.stat(served.at('new'))).rejects.toThrow('ENOENT')
    expect(await fs.readFile(served.at(ENTRY), 'utf8')).toBe('before')
    await fs.writeFile(served.behind(ENTRY), 'afterwards')
    await fs.writeFile(served.behind('new'), 'new')
    await expect(fs.stat(served.at('new'))).rejects.toThrow('ENOENT')
    expect([await served.ask('node 3'), await served.ask('name new')]).toEqual(['true', 'true'])
    expect(await fs.readFile(served.at(ENTRY), 'utf8')).toBe('afterwards')
    expect(await fs.readFile(served.at('new'), 'utf8')).toBe('new')
    expect((await fs.readdir(served.mount)).sort()).toEqual([ENTRY, 'new'])
    expect([await served.ask('node 999'), await served.ask('name unknown')]).toEqual(['false', 'false'])
  })

  it('does not show the doorbell', async () => {
    expect(await fs.readdir(served.mount)).toEqual([])
    expect(await fs.readdir(served.backing)).toEqual([])
  })

  it('is unmounted at once while no file is open', async () => {
    expect(await served.stop()).toBe('unmounted')
    expect(isMounted(served.mount)).toBe(false)
  })

  it('is detached while files are open: their owners get errors, and the next mount is served', async () => {
    await fs.writeFile(served.at('held'), 'before')
    const open = await fs.open(served.at('held'), 'r+')
    expect(await served.stop()).toBe('detached')
    expect(isMounted(served.mount)).toBe(false)
    await expect(open.write('x')).rejects.toThrow(/ENOTCONN|ECONNABORTED|EIO/)
    await open.close().catch(() => undefined)
    expect(await fs.readFile(served.behind('held'), 'utf8')).toBe('before')
    expect(await served.serve()).toEqual([])
    expect(await fs.readFile(served.at('held'), 'utf8')).toBe('before')
  })

  it('is removed although it contains the working directory of a process', async () => {
    await fs.mkdir(served.at('cwd'))
    const stopping = shell(served.at('cwd'), 'echo in; sleep 2; ls || echo gone')
    expect(await served.stop()).toMatch(/detached|unmounted/)
    expect(isMounted(served.mount)).toBe(false)
    expect(await stopping).toContain('in')
  })

  it('is detached with files open after its session has stopped by the doorbell', async () => {
    await fs.writeFile(served.at('held'), '')
    const open = await fs.open(served.at('held'), 'r+')
    expect(await served.ask('halt')).toBe('stopped')
    expect(await served.ask('')).toBe('detached')
    await expect(open.write('x')).rejects.toThrow(/ENOTCONN|ECONNABORTED|EIO/)
    await open.close().catch(() => undefined)
  })

  it.runIf(IS_ROOT)('ends its server when someone else unmounts it', async () => {
    // The doorbell keeps the mount busy, so only a forced unmount succeeds.
    await run('umount', '-f', '-l', served.mount)
    expect(await served.ask('')).toBe('unmounted')
  })

  it('whose server was killed is cleared by the next server', async () => {
    await fs.writeFile(served.at('survivor'), 'still here')
    const open = await fs.open(served.at('survivor'), 'r+')
    await served.kill()
    expect(isMounted(served.mount)).toBe(true)
    await expect(fs.statfs(served.mount)).rejects.toThrow(/ENOTCONN|ECONNABORTED/)
    await expect(open.write('x')).rejects.toThrow(/ENOTCONN|ECONNABORTED|EIO/)
    expect(await served.serve()).toEqual(['cleared'])
    expect(await fs.readFile(served.at('survivor'), 'utf8')).toBe('still here')
    await open.close().catch(() => undefined)
  })

  it('fails without a hang when its server is killed under load', async () => {
    const load = attempt(
      'bash',
      ['-c', 'while echo x >> busy && cat busy > /dev/null; do :; done; echo stopped'],
      served.mount,
    )
    await shell(served.mount, 'until [ -s busy ]; do :; done')
    await served.kill()
    expect((await load).stdout).toContain('stopped')
    expect(await clearStaleMount(served.mount)).toBe(true)
    expect(await clearStaleMount(served.mount)).toBe(false)
  })

  it('with a living server cannot be mounted over or cleared by another ltxd', async () => {
    expect(await rejectedWith(() => mount(served.mount))).toBe('MOUNT_IN_USE')
    await expect(clearStaleMount(served.mount)).rejects.toMatchObject({ code: 'MOUNT_IN_USE' })
    expect(await fs.readdir(served.mount)).toEqual([])
  })

  it('is recognized through a symbolic link and through an unusual path', async () => {
    const link = path.join(served.directory, 'link')
    await fs.symlink(served.mount, link)
    expect(await rejectedWith(() => mount(link))).toBe('MOUNT_IN_USE')
    expect(await rejectedWith(() => mount(`${served.directory}/../${path.basename(served.directory)}/mount/`))).toBe(
      'MOUNT_IN_USE',
    )
  })
})

describe('mounting is rejected with advice', () => {
  let directory: string
  beforeEach(async () => void (directory = await fs.mkdtemp(path.join(tmpdir(), 'ltxd-mount-'))))
  afterEach(() => fs.rm(directory, { recursive: true }))

  it('over a directory that is not empty', async () => {
    await fs.writeFile(path.join(directory, 'precious'), '')
    expect(await rejectedWith(() => mount(directory))).toBe('MOUNT_NOT_EMPTY')
  })

  it('over a file', async () => {
    await fs.writeFile(path.join(directory, 'file'), '')
    expect(await rejectedWith(() => mount(path.join(directory, 'file')))).toBe('MOUNT_NOT_DIRECTORY')
    expect(await rejectedWith(() => mount(path.join(directory, 'file', 'below')))).toBe('MOUNT_NOT_DIRECTORY')
  })

  it('over the mount point of another file system', async () => {
    expect(await rejectedWith(() => mount('/proc'))).toBe('MOUNT_OCCUPIED')
  })

  it('without leaving a descriptor of the device behind', async () => {
    // The kernel rejects a source of that length after the device has been opened.
    const fsname = 'x'.repeat(5000)
    for (let i = 0; i < 5; i++) expect(await rejectedWith(() => mount(directory, { fsname }))).toBe('MOUNT_FAILED')
    expect(openDevices()).toEqual([])
    const device = openSync('/dev/fuse', 'r')
    expect(openDevices()).toEqual(['/dev/fuse'])
    closeSync(device)
    expect(await fs.readdir(directory)).toEqual([])
  })
})

/** This process's open descriptors of the device. Other descriptors come and go with the test runner. */
function openDevices(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target === '/dev/fuse' ? [target] : []
    } catch {
      return [] // closed since it was listed
    }
  })
}

async function rejectedWith(action: () => Promise<unknown>): Promise<MountErrorCode | undefined> {
  try {
    await action()
    return undefined
  } catch (error) {
    if (error instanceof MountError) return error.code
    throw error
  }
}

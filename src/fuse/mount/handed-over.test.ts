import { closeSync, openSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseMountinfo } from '../host/mountinfo.ts'
import { descriptorOf, handedOver, mountOf } from './handed-over.ts'

const MOUNTS = parseMountinfo(`24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
301 27 0:50 / /srv/a rw - fuse.ltxd ltxd rw,user_id=1000,default_permissions
302 27 0:51 / /srv/b rw - fuse.ltxd ltxd rw,user_id=1000,default_permissions
303 27 0:52 / /srv/c rw - fuse.sshfs other rw,user_id=1000
304 27 8:50 / /srv/disk rw - ext4 /dev/sda rw
`)

describe('a mount point of the form /dev/fd/N', () => {
  it('names a descriptor, and no other form does', () => {
    expect(descriptorOf('/dev/fd/3')).toBe(3)
    const others = ['/dev/fd/', '/dev/fd/3/x', '/dev/fd/x', './dev/fd/3', '/mnt']
    expect(others.map((path) => descriptorOf(path))).toEqual(others.map(() => undefined))
    expect(handedOver('/mnt')).toBeUndefined()
  })

  it('is rejected when the descriptor is not that of a device, or is not open', () => {
    const descriptor = openSync('/dev/null', 'r')
    for (const path of [`/dev/fd/${descriptor}`, '/dev/fd/999999']) {
      expect(() => handedOver(path)).toThrow(expect.objectContaining({ code: 'MOUNT_NOT_HANDED_OVER' }))
    }
    closeSync(descriptor)
  })

  it('is the mount that the device’s connection serves', () => {
    expect(mountOf('pos:\t0\nfuse_connection:\t50\n', MOUNTS)?.mountPoint).toBe('/srv/a')
    expect(mountOf('fuse_connection:\t51', MOUNTS)?.mountPoint).toBe('/srv/b')
    expect(mountOf('fuse_connection:\t5', MOUNTS)).toBeUndefined()
  })

  it('is the last of ltxd’s mounts when the kernel does not report the connection', () => {
    expect(mountOf('pos:\t0\n', MOUNTS)?.mountPoint).toBe('/srv/b')
    expect(mountOf('pos:\t0\n', MOUNTS.slice(0, 1))).toBeUndefined()
  })
})

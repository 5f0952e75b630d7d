import { MountError } from './mount-error.ts'

/** Throws MountError on systems without Linux's FUSE, before another error hides the cause. */
export function requireLinux(platform: NodeJS.Platform = process.platform): void {
  if (platform === 'linux') return
  const name = { darwin: 'macOS', win32: 'Windows' }[platform as string] ?? platform
  throw new MountError(
    'PLATFORM_UNSUPPORTED',
    `a node mounts through the FUSE of Linux, and this is ${name}; ` +
      'run it in a container or a virtual machine with Linux',
  )
}

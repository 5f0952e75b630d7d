import { LtxdError } from '../../util/errors.ts'

export type MountErrorCode =
  | 'FUSE_MISSING'
  | 'FUSERMOUNT_MISSING'
  | 'MOUNT_DENIED'
  | 'MOUNT_FAILED'
  | 'MOUNT_NOT_DIRECTORY'
  | 'MOUNT_NOT_EMPTY'
  | 'MOUNT_OCCUPIED'
  | 'MOUNT_IN_USE'
  | 'MOUNT_LINK_FOREIGN'
  | 'MOUNT_NOT_HANDED_OVER'
  | 'PLATFORM_UNSUPPORTED'
  | 'DRIVER_MISSING'
  | 'UNMOUNT_FAILED'

export class MountError extends LtxdError {
  declare readonly code: MountErrorCode

  constructor(code: MountErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, 1, options)
  }
}

export function noDevice(cause?: unknown): MountError {
  return new MountError(
    'FUSE_MISSING',
    'there is no /dev/fuse; load the kernel module (modprobe fuse), ' +
      'or start the container with --device /dev/fuse --cap-add SYS_ADMIN',
    cause === undefined ? undefined : { cause },
  )
}

/** Whether opening /dev/fuse failed because the device or its kernel module is missing. */
export function isNoDevice(code: string | undefined): boolean {
  return code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO'
}

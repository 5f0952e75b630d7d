import { describeDriver } from './drivers.ts'

describeDriver('fuse-native as root', { driver: 'fuse-native', asUser: false })

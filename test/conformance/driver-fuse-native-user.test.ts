import { describeDriver } from './drivers.ts'

describeDriver('fuse-native as a user', { driver: 'fuse-native', asUser: true })

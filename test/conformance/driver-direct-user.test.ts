import { describeDriver, REPLICA } from './drivers.ts'

describeDriver('direct, which is fusermount3, as a user', { driver: 'direct', asUser: true, more: REPLICA })

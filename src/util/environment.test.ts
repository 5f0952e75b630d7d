import { expect, test } from 'vitest'
import { applicationEnvironment, helperEnvironment } from './environment.ts'

const ENVIRONMENT = {
  PATH: '/bin',
  LC_ALL: 'de_DE.UTF-8',
  NODE_OPTIONS: '--max-old-space-size=256',
  LTXD_REDIS_URL: 'redis://:canary@host',
  LTXD_CONSUL_URL: 'http://:canary@host',
  LTXD_STORES: 'a=s3://canary',
  LTXD_BACKUP_URL: 's3://canary',
  LTXD_TEST_LIMITS: 'x',
  AWS_SECRET_ACCESS_KEY: 'of both',
  MY_PASSWORD: 'of the application',
}

test('the application gets everything but what is a secret of ltxd alone', () => {
  const environment = applicationEnvironment('/mnt', ENVIRONMENT)
  expect(environment).toMatchObject({ MY_PASSWORD: 'of the application', AWS_SECRET_ACCESS_KEY: 'of both' })
  expect(environment).toMatchObject({ PATH: '/bin', LTXD_MOUNT: '/mnt' })
  expect(JSON.stringify(environment)).not.toContain('canary')
})

test('a helper gets what programs need to run, and no secret of anybody', () => {
  expect(helperEnvironment({ LC_ALL: 'C' }, ENVIRONMENT)).toEqual({
    PATH: '/bin',
    LC_ALL: 'C',
    NODE_OPTIONS: '--max-old-space-size=256',
    LTXD_TEST_LIMITS: 'x',
  })
})

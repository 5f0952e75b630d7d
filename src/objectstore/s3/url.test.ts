import { describe, expect, it } from 'vitest'
import { StoreUrlError } from '../errors.ts'
import { parseS3Url } from './url.ts'

const parse = (url: string, environment: NodeJS.ProcessEnv = {}) => parseS3Url(new URL(url), url, environment)

describe('the URL of a bucket', () => {
  it('names bucket, prefix, server and region', () => {
    expect(
      parse('s3://backups/a/b%20c/?endpoint=http://127.0.0.1:7070/&region=eu-west-1&forcePathStyle=false'),
    ).toEqual({
      url: 's3://backups/a/b%20c?endpoint=http://127.0.0.1:7070&region=eu-west-1',
      bucket: 'backups',
      prefix: 'a/b c/',
      endpoint: 'http://127.0.0.1:7070',
      region: 'eu-west-1',
      forcePathStyle: false,
    })
  })

  it('needs only a bucket: Amazon’s server, bucket host names, no prefix', () => {
    const plain = { bucket: 'backups', prefix: '', forcePathStyle: false }
    expect(parse('s3://backups')).toEqual({ url: 's3://backups/', ...plain })
    expect(parse('s3://backups/')).toEqual({ url: 's3://backups/', ...plain })
    expect(parse('s3://backups/?forcePathStyle=true').forcePathStyle).toBe(true)
  })

  it('uses the endpoint of the environment, shows it, and prefers paths on servers other than Amazon’s', () => {
    const environment = { AWS_ENDPOINT_URL: 'http://general:1', AWS_ENDPOINT_URL_S3: 'http://storage:2' }
    expect(parse('s3://backups/x', environment)).toMatchObject({
      url: 's3://backups/x?endpoint=http://storage:2',
      endpoint: 'http://storage:2',
      forcePathStyle: true,
    })
    expect(parse('s3://backups/x?endpoint=https://mine', environment).endpoint).toBe('https://mine')
  })

  it.each([
    ['s3://me:hunter2@backups/x', /AWS_ACCESS_KEY_ID/],
    ['s3://backups:9000/x', /no port.*\?endpoint=/],
    ['s3:///x', /not a bucket name/],
    ['s3://a_/x', /not a bucket name/],
    ['s3://backups/x#y', /%23/],
    ['s3://backups/a//b', /empty segment/],
    ['s3://backups/a%2F..%2Fb', /prefix has a segment "\.\."/],
    ['s3://backups/%ff', /percent-encoding/],
    ['s3://backups/x?Region=a', /"Region" is not known; expected endpoint, region, forcePathStyle/],
    ['s3://backups/x?region=a&region=b', /given twice/],
    ['s3://backups/x?region=', /empty/],
    ['s3://backups/x?region=a%20b', /name of a region/],
    ['s3://backups/x?forcePathStyle=yes', /expected true or false/],
    ['s3://backups/x?endpoint=localhost:9000', /no http:\/\/ or https:\/\/ before it/],
    ['s3://backups/x?endpoint=nonsense', /not a URL/],
    ['s3://backups/x?endpoint=http://me:hunter2@host', /credentials do not belong/],
    ['s3://backups/x?endpoint=http://host/%3Fa', /query or a fragment/],
  ])('%s is refused with what was expected', (url, message) => {
    expect(() => parse(url)).toThrow(StoreUrlError)
    expect(() => parse(url)).toThrow(message)
  })
})

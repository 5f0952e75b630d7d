import { describe, expect, it } from 'vitest'
import { StoreUnavailableError } from '../errors.ts'
import { isNoSuchObject, storeError, StoreRejectedError } from './errors.ts'

const URL = 's3://backups/x?endpoint=http://host'
const answer = (name: string, status: number, message = 'UnknownError') =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status }, StringToSign: 'hunter2' })
const system = (code: string, message = '') => Object.assign(new Error(message), { code })

describe('a failed call to a bucket', () => {
  it.each([
    ['STORE_NO_BUCKET', answer('NoSuchBucket', 404, 'The bucket does not exist'), /create the bucket/],
    ['STORE_ACCESS_DENIED', answer('AccessDenied', 403, 'Access Denied'), /allow these credentials s3:ListBucket/],
    ['STORE_ACCESS_DENIED', answer('403', 403), /Forbidden; allow/],
    ['STORE_CREDENTIALS', answer('InvalidAccessKeyId', 403), /AWS_ACCESS_KEY_ID/],
    ['STORE_CREDENTIALS', answer('ExpiredToken', 400), /expired/],
    ['STORE_CREDENTIALS', Object.assign(new Error('none found'), { name: 'CredentialsProviderError' }), /AWS_PROFILE/],
    ['STORE_CLOCK_SKEW', answer('RequestTimeTooSkewed', 403), /it says 2\d{3}-.*NTP/],
    ['STORE_REGION', answer('PermanentRedirect', 301), /\?region=/],
    ['STORE_REGION', new Error('Region is missing'), /\?region=/],
  ])('is refused as %s, with what to do', (code, cause, message) => {
    const error = storeError(URL, 'write object k', cause)
    expect(error).toBeInstanceOf(StoreRejectedError)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.message).toMatch(/^cannot write object k in s3:\/\/backups\/x\?endpoint=http:\/\/host: /)
  })

  it.each([
    [system('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1'), /ECONNREFUSED 127.*nothing listens there/],
    [new AggregateError([system('ECONNREFUSED', 'at ::1')], ''), /ECONNREFUSED: at ::1; nothing/],
    [system('ENOTFOUND'), /forcePathStyle=true/],
    [Object.assign(new Error('slow'), { name: 'TimeoutError' }), /does not answer/],
    [system('SELF_SIGNED_CERT_IN_CHAIN'), /NODE_EXTRA_CA_CERTS/],
    [answer('SlowDown', 503, 'Reduce your request rate'), /the store is busy/],
    [answer('Unknown', 500), /answered 500/],
    [new Error("char '<' is not expected.:1:1\n  Deserialization error"), /answer is not an S3 server's/],
  ])('is worth another try where nobody has said no: %s', (cause, message) => {
    const error = storeError(URL, 'list objects', cause)
    expect(error).toBeInstanceOf(StoreUnavailableError)
    expect(error.message).toMatch(message)
  })

  it('drops everything that was signed', () => {
    const { cause } = storeError(URL, 'list objects', answer('SignatureDoesNotMatch', 403, 'it does not match'))
    expect(cause).toMatchObject({ message: 'SignatureDoesNotMatch: it does not match', code: 'SignatureDoesNotMatch' })
    expect(Object.keys(cause as object)).toEqual(['code'])
  })

  it('reports a missing object only if nothing else is missing', () => {
    expect(isNoSuchObject(answer('NoSuchKey', 404))).toBe(true)
    expect(isNoSuchObject(answer('NotFound', 404))).toBe(false)
    expect(isNoSuchObject(answer('UnknownError', 404))).toBe(false)
    expect(isNoSuchObject(answer('NoSuchBucket', 404))).toBe(false)
    expect(isNoSuchObject(answer('Forbidden', 403))).toBe(false)
    expect(isNoSuchObject(new Error('x'))).toBe(false)
  })
})

it('what a server says is one line of limited length in the error, without control characters', () => {
  const hostile = '\u001b[31m\u009b32m\r\nERROR forged line\u2028' + 'x'.repeat(1_000_000)
  for (const cause of [answer('Odd', 500, hostile), answer(hostile, 500), answer(hostile, 403, hostile)]) {
    const { message } = storeError(URL, 'list objects', cause)
    expect(message.length).toBeLessThan(1_200)
    expect(message).not.toMatch(/[\p{Cc}\u2028\u2029]/u)
  }
})

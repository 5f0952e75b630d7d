/** The bucket of a fixture, in an S3 server of the test's own. */

import type { S3Server } from '../harness/s3-server.ts'
import type { BucketObject } from './fixture.ts'

/**
 * With this environment, a URL without an endpoint means this server. A fixture's jobs contain such URLs, because the
 * server has another port in each run.
 */
export function environmentOf(server: S3Server): Record<string, string> {
  return { ...server.environment, AWS_ENDPOINT_URL: server.endpoint }
}

/** Creates the bucket if necessary, and replaces its objects by these. */
export async function fillBucket(server: S3Server, bucket: string, objects: readonly BucketObject[]): Promise<void> {
  const client = await server.client()
  try {
    const { Buckets = [] } = await client.listBuckets()
    if (Buckets.some(({ Name }) => Name === bucket)) {
      for (const { key } of await readBucket(server, bucket)) await client.deleteObject({ Bucket: bucket, Key: key })
    } else {
      await client.createBucket({ Bucket: bucket })
    }
    for (const { key, metadata, body } of objects) {
      await client.putObject({ Bucket: bucket, Key: key, Metadata: metadata, Body: body })
    }
  } finally {
    client.destroy()
  }
}

/** All objects, ascending by key. */
export async function readBucket(server: S3Server, bucket: string): Promise<BucketObject[]> {
  const client = await server.client()
  try {
    const { Contents = [], IsTruncated } = await client.listObjectsV2({ Bucket: bucket })
    if (IsTruncated === true) throw new Error(`${bucket} has more objects than one page lists`)
    const objects: BucketObject[] = []
    for (const { Key: key = '' } of Contents) {
      const { Metadata: metadata = {}, Body } = await client.getObject({ Bucket: bucket, Key: key })
      objects.push({ key, metadata, body: Buffer.from((await Body?.transformToByteArray()) ?? []) })
    }
    return objects
  } finally {
    client.destroy()
  }
}

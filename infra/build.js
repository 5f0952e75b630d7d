/**
 * `npm run build` calls tsdown by its function. On Node.js 20 tsdown's command line prints a deprecation of Node.js 20,
 * which matters for an update of tsdown (0.22 needs Node.js 22), but not for a build of ltxd.
 */

import { build } from 'tsdown'

await build({ logLevel: 'warn' })

/**
 * `npm run build`: tsdown by its function. Its command line prints on Node.js 20 that Node.js 20 is deprecated, for
 * tsdown; that concerns who updates tsdown (0.22 needs Node.js 22), not who builds ltxd.
 */

import { build } from 'tsdown'

await build({ logLevel: 'warn' })

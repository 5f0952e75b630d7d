import js from '@eslint/js'
import importSort from 'eslint-plugin-simple-import-sort'
import tseslint from 'typescript-eslint'
import houseRules from './infra/house-rules.js'

/** Files that may be longer than 300 lines, or have a function longer than 70, each with its reason. */
const LONGER = {
  'test/cluster/services.test.ts': 'one cluster and its services, started once for all of its tests',
  'test/interop/consul.test.ts': 'one Consul server, started once for all of its tests',
  'test/interop/s3.test.ts': 'one S3 server, started once for all of its tests',
}

const lengths = (severity) => ({
  'max-lines': [severity, { max: 300 }],
  'max-lines-per-function': [severity, { max: 70 }],
})

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'coverage/**', 'src/ltx/kernels/assembly/**'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    plugins: { house: houseRules, 'simple-import-sort': importSort },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      'no-console': 'off',
      // Node.js, packages, then this tree from far to near.
      'simple-import-sort/imports': [
        'error',
        { groups: [['^node:', '^@?\\w', '^\\.\\.(?!/?$)', '^\\.\\./?$', '^\\./']] },
      ],
      'simple-import-sort/exports': 'error',
      'house/comment-width': 'error',
      'house/run-generators': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            ':matches(PropertyDefinition, TSAbstractPropertyDefinition, MethodDefinition[kind!="constructor"], TSParameterProperty)[accessibility="private"]',
          message: 'Private members begin with "#"; "private" is for constructors only.',
        },
        {
          // Of node:fs, and of its promises: not a property that happens to have the name.
          selector:
            'CallExpression[callee.object.name="fs"][callee.property.name=/^copyFile/], ImportSpecifier[imported.name=/^copyFile/][parent.source.value=/^node:/]',
          message: 'It never ends when its source becomes shorter meanwhile: src/util/copy-file.ts does.',
        },
      ],
      ...lengths('error'),
    },
  },
  // A `describe` is as long as its tests.
  { files: ['**/*.test.ts'], rules: { 'max-lines-per-function': 'off' } },
  { files: ['src/util/copy-file.ts', '**/*.test.ts', 'test/**', 'bench/**'], rules: { 'no-restricted-syntax': 'off' } },
  { files: Object.keys(LONGER), rules: lengths('off') },
)

import neostandard, { plugins } from 'neostandard'

export default [
  // The client in one file is esbuild's, and the types beside it are Next's.
  { ignores: ['dist/', '.data/', '.tap/', '**/.next/', '**/next-env.d.ts', 'examples/nextjs/lib/presignd-client.js'] },
  ...neostandard({ ts: true }),
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/consistent-type-imports': 'error',
      // A schema and its type share a name; the compiler finds real redeclarations.
      '@typescript-eslint/no-redeclare': 'off'
    }
  },
  {
    files: ['test/**/*.ts'],
    // A tap subtest is awaited by its parent's end as well as by its own promise.
    rules: { '@typescript-eslint/no-floating-promises': 'off' }
  }
]

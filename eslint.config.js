import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import regexp from 'eslint-plugin-regexp'
import tseslint from 'typescript-eslint'

const typescript = ['**/*.ts']
const published = ['src/**/*.ts', 'adapters/**/*.ts']
const tests = ['test/**/*.ts', 'bench/**/*.ts']
const javascript = ['**/*.{js,mjs,cjs}']

/** What Node defines for scripts, without listing it by hand. */
const nodeGlobals = Object.fromEntries(
  Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly']),
)
const browserGlobals = Object.fromEntries(
  [
    'document',
    'window',
    'location',
    'history',
    'localStorage',
    'matchMedia',
    'getComputedStyle',
    'requestAnimationFrame',
    'Element',
    'EventSource',
    'HTMLElement',
    'Node',
    'ResizeObserver',
  ].map((name) => [name, 'readonly']),
)

export default defineConfig([
  globalIgnores([
    'dist/',
    'dist.*/',
    'coverage/',
    'docs/public/',
    'docs/.vitepress/cache/',
    'docs/.vitepress/dist/',
  ]),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: javascript,
    languageOptions: { globals: nodeGlobals },
  },
  {
    // What somebody sends is read in time linear in its length; tests choose what they read.
    files: [...typescript, ...javascript],
    ignores: ['test/**'],
    plugins: { regexp },
    rules: {
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': ['error', { report: 'potential', ignoreSticky: false }],
    },
  },
  {
    files: ['examples/**/public/**/*.js', 'adapters/*/*/client/*.js'],
    languageOptions: { globals: browserGlobals },
  },
  {
    // They go into a page as one script.
    files: ['adapters/inspector/overlay/client/*.js'],
    languageOptions: { sourceType: 'script' },
  },
  {
    files: typescript,
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-confusing-non-null-assertion': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'all' },
      ],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/use-unknown-in-catch-callback-variable': 'error',
      // An async method without await turns a synchronous throw into a rejection, as promised.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  {
    files: published,
    rules: {
      'no-console': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unnecessary-type-arguments': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
    },
  },
  {
    // What is decided by values is told the time.
    files: ['src/pages/{policy,reuse,reasons,refusals,decide,judge}.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "CallExpression[callee.object.name=/^(Date|performance)$/][callee.property.name='now']",
          message: 'Time is an argument here.',
        },
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: 'Time is an argument here.',
        },
      ],
    },
  },
  {
    files: tests,
    rules: {
      // A test hands wrong types on purpose, takes methods off their objects and reads parsed JSON.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
])

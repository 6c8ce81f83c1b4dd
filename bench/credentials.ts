export const ACCESS_KEY_ID = 'AKIDBENCH'
export const SECRET_ACCESS_KEY = 'not-a-real-key'

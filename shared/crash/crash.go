// Package crash names the points at which tests kill the programs. In what is shipped its functions are empty: only a
// build with the tag crashpoints knows the names, and listens to the environment. It decides nothing, and nothing but
// tests may build with the tag.
package crash

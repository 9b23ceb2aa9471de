// Package action tests the composite GitHub Action in action.yml, whose scripts are in
// .github/action. It holds nothing to import.
package action

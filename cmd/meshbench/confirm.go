package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errNobody says that there is nobody who could be asked.
var errNobody = errors.New("there is no terminal to ask at: add --yes to go on without being asked")

// confirm asks on the terminal whether to go on; y and yes are a yes. Without a terminal
// the error is errNobody. An answer that comes after ctx's end is lost.
func confirm(ctx context.Context, out io.Writer, question string) (bool, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false, errNobody
	}
	fmt.Fprint(out, question+" [y/N] ")
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(os.Stdin).ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case got := <-read:
		if got.err != nil && !errors.Is(got.err, io.EOF) {
			return false, fmt.Errorf("cannot read the answer: %w", got.err)
		}
		answer := strings.ToLower(strings.TrimSpace(got.text))
		return answer == "y" || answer == "yes", nil
	}
}

// Confirm is confirm below a text, while the live line is away.
func (p *progress) Confirm(ctx context.Context, text string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // which keeps the line from being drawn
	p.clear()
	fmt.Fprintln(p.out, text)
	return confirm(ctx, p.out, "Go on?")
}

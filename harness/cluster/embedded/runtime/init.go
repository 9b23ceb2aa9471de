package runtime

// InitCommand is the hidden command that InitMain serves: the runtime starts its own
// executable with this word as first argument.
const InitCommand = "container-init"

// InitMain is the first process of a container until it becomes the program. It is
// called at the top of main when the first argument is InitCommand, with the
// arguments after it, and returns an exit code only on failure.
func InitMain(args []string) int { return 1 }

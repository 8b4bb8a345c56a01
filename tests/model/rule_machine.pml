/* One rule's breaker around its table: what user/policy/rule_state.c does. For rules.pml and modes.pml. */
#define CAP 9 /* ticks are counted up to one more than the longest timer */
#define YES 0
#define NO 1
#define UNKNOWN 2

byte state = CLOSED;
byte event, next, timer, done; /* within a tick */
byte condition = UNKNOWN, clear = UNKNOWN; /* what the environment shows at this tick */
byte len_for, len_clear, len_trial; /* in ticks, chosen once */
bool running; byte count; /* the timer */
byte since; /* ticks since the last change of state */
byte backoff = 1;

inline take() {
	look_up();
	if
	:: next != state ->
		if
		:: state == HALF_OPEN && next == OPEN && backoff < BACKOFF_MAX -> backoff = backoff * 2
		:: state == CLOSED && since >= len_trial * backoff -> backoff = 1
		:: else
		fi;
		state = next; since = 0
	:: else
	fi;
	if
	:: timer == START && !running -> running = true; count = 0
	:: timer == RESTART -> running = true; count = 0
	:: timer == STOP -> running = false; count = 0
	:: else
	fi
}

#define ELAPSED (running && ((state == CLOSED) || (state == PENDING && count >= len_for) || \
	(state == OPEN && count >= len_clear && (backoff == 1 || since >= len_trial * backoff)) || \
	(state == HALF_OPEN && count >= len_trial * backoff)))

/* time passes */
inline pass() {
	if :: running && count < CAP -> count++ :: else fi;
	if :: since < CAP -> since++ :: else fi
}

/* clear, condition, and what elapses then: at most as often as there are states */
inline tick() {
	done = 0;
	do
	:: done < 6 && (done < 2 || ELAPSED) ->
		if
		:: done == 0 -> event = EV_CLEAR_TRUE + clear
		:: done == 1 -> event = EV_TRUE + condition
		:: else -> event = EV_ELAPSED
		fi;
		take(); done++
	:: else -> break
	od;
	done = 0; event = 0; next = 0; timer = 0
}


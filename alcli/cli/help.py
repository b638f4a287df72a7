"""``alcli help``."""

from __future__ import annotations

import click

CRON = """\
crontab -e, every night at two (the workspace's folder holds everything but the token):

  0 2 * * *  SA_TOKEN="$(cat /etc/alcli/token)" alcli cycle -w /srv/alcli/cells -q --wait 30m

or systemd, which also keeps the log and never starts a second run:

  # /etc/systemd/system/alcli-cells.service
  [Unit]
  Description=Active learning cycle of the cells project
  Wants=network-online.target
  After=network-online.target
  [Service]
  Type=oneshot
  User=alcli
  EnvironmentFile=/etc/alcli/environment
  ExecStart=/usr/local/bin/alcli cycle -w /srv/alcli/cells -q --metrics-file /var/lib/node_exporter/alcli.prom
  SuccessExitStatus=3
  TimeoutStopSec=30

  # /etc/systemd/system/alcli-cells.timer
  [Timer]
  OnCalendar=*-*-* 02:00:00
  Persistent=true
  [Install]
  WantedBy=timers.target

  systemctl enable --now alcli-cells.timer

Is it well?   alcli health -w /srv/alcli/cells --max-age 26h     (exit 0, or that of the failed run; 6: none has run)
Exit codes:   alcli list exit-codes     (3: done, but something was left out and named)
Killed?       The next run goes on where it stopped; nothing has to be unlocked or cleaned up by hand.
"""

TOPICS = {"cron": CRON}


@click.command(short_help="How to run it every night: alcli help cron.")
@click.argument("topic", type=click.Choice(list(TOPICS)))
def command(topic: str) -> int:
    """Print what is needed to run alcli unattended.

    \b
    Examples:
      alcli help cron
    """
    click.echo(TOPICS[topic], nl=False)
    return 0

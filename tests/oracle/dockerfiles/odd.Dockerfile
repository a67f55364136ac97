


   # escape=` is a comment here: an empty line came before
FROM alpine	AS   odd-1_2.3
RUN echo '<<EOF' "<<EOF" \<<EOF ${X:-<<EOF}
RUN <<EOF <<EOF
1
EOF
2
EOF
RUN 5<<-"E O F" cat /dev/fd/5
		in
	E O F
RUN echo ${unclosed <<EOF
RUN [ "json", "with \"quotes\" and \u00fcmlaut", "" ]
RUN [ "not", 'json' ]
RUN	 --mount=type=bind,"source=a,b",target=/x	-- --not-a-flag
CMD
COPY --chown="a b":c\ d "quoted name" /x/
COPY [ "<<EOF", "/json/has/no/heredocs" ]
ADD --exclude=a --exclude='b c' . .
ENV A=\ B= C='it''s' D="\$x\\" E=a\ b F=
ARG x y=1 z="a b" 'q'=r
LABEL "multi word"="va\
lue" k=v
EXPOSE $PORT/tcp ${A:-1}-${B}
STOPSIGNAL --ignored 9
WORKDIR $HOME/ a b
USER "a b"
\
RUN after an empty continuation
RUN trailing \\
RUN ends here \
